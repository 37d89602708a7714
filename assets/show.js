// Offers to show a password; without scripts the button stays hidden and everything else works.
for (const button of document.querySelectorAll("button.show")) {
  const field = document.getElementById(button.dataset.for);
  const words = [button.textContent, button.dataset.hide];
  const turn = (visible) => {
    field.type = visible ? "text" : "password";
    button.textContent = words[Number(visible)];
    button.setAttribute("aria-pressed", String(visible));
  };
  button.addEventListener("click", () => turn(field.type === "password"));
  // A browser remembers what is sent from a visible field as ordinary text.
  field.form.addEventListener("submit", () => turn(false));
  button.hidden = false;
}
// A browser keeps the fragment of an address to itself, and through redirects: the form leads on with it.
for (const form of document.querySelectorAll("form.onward")) form.action += location.hash;
