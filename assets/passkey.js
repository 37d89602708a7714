// Passkeys (WebAuthn level 3). Without scripts, or in a browser without passkeys, the buttons stay hidden: the other ways work.
const api = window.PublicKeyCredential;
const works = Boolean(api?.parseRequestOptionsFromJSON && api.parseCreationOptionsFromJSON && api.prototype.toJSON);
// A browser has one request at a time.
let pending = new AbortController();

function send(form, credential) {
  form.elements.passkey.value = JSON.stringify(credential);
  // The other fields may be empty.
  form.submit();
}

function call(button, more) {
  pending.abort();
  pending = new AbortController();
  const given = JSON.parse(button.dataset.options);
  const signal = pending.signal;
  return button.dataset.creates === undefined
    ? navigator.credentials.get({ publicKey: api.parseRequestOptionsFromJSON(given), signal, ...more })
    : navigator.credentials.create({ publicKey: api.parseCreationOptionsFromJSON(given), signal });
}

async function wait(button) {
  if (!(await api.isConditionalMediationAvailable?.())) return;
  try {
    send(button.form, await call(button, { mediation: "conditional" }));
  } catch {
    // Another request took its place, or the user chose none.
  }
}

async function press(button) {
  const status = button.parentElement.querySelector("[role=status]");
  status.textContent = "";
  button.disabled = true;
  try {
    send(button.form, await call(button, {}));
  } catch (error) {
    status.textContent = error.name === "InvalidStateError" ? button.dataset.exists : button.dataset.failed;
    button.disabled = false;
    if (button.dataset.waits !== undefined) wait(button);
  }
}

if (works) {
  for (const hint of document.querySelectorAll(".no-passkeys")) hint.hidden = true;
  for (const button of document.querySelectorAll("button.passkey")) {
    button.addEventListener("click", () => press(button));
    button.parentElement.hidden = false;
    if (button.dataset.waits !== undefined) wait(button);
  }
  // Whether to offer one after a sign-in with a password.
  for (const field of document.querySelectorAll("input[name=can_passkey]")) {
    api.isUserVerifyingPlatformAuthenticatorAvailable().then((has) => (field.value = has ? "1" : ""), () => {});
  }
  // Tells the browser's password manager which passkeys there are (WebAuthn section 5.1.10).
  for (const mark of document.querySelectorAll("[data-signal]")) {
    api[mark.dataset.signal]?.(JSON.parse(mark.dataset.value)).catch(() => {});
  }
}
