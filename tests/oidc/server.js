// A provider for the tests: `oidc-provider`, unmodified, with people that the tests add and change.
//
// usage: MODULES=FOLDER node server.js PORT CALLBACK,... SIGNED_OUT,... BACKCHANNEL
// PEOPLE: the first people, as JSON. CLIENT_SECRET: another secret than that of the tests.
// It prints `ready` when it answers, and ends with its standard input. Below /control/:
//   PUT people/NAME      a person with the claims of the body; DELETE removes one
//   PUT keys             another key signs from now on
//   GET counts           responses of the token endpoint, by kind; requests to revoke a token, as `revocation`
//   GET uses             [tokens, uses of the one that was used most]: refresh tokens that were sent to the token endpoint
//   GET secrets          every code and token that was issued
//   PUT sign             {header, claims} -> {token}: a logout token, changed by these, signed with the present key
//   PUT clock/MS         the clock runs this far ahead
//   PUT away             503 to everything else; DELETE ends it
//   PUT slow/MS          every response of the token endpoint waits this long
//   PUT hang             no response to anything else; DELETE closes those connections
//   GET held             requests that wait for one; `peak` is the largest number of them so far

import { createServer } from "node:http";
import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { createRequire } from "node:module";

const folder = process.env.MODULES;
const { default: Provider } = await import(createRequire(`${folder}/package.json`).resolve("oidc-provider"));

const [port, callback, signedOut, backchannel] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const people = new Map(Object.entries(JSON.parse(process.env.PEOPLE ?? "{}")));
let ahead = 0;
let away = false;
let slow = 0;
let hang = false;
const held = new Set();
let peak = 0;
const uses = new Map();
const clock = Date.now;
Date.now = () => clock() + ahead;
const counts = new Map();

const key = (kid) => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" };
};
const keys = [key("first")];
const cookieKeys = [randomBytes(32).toString("hex")];

// Everything is kept: the adapter of `oidc-provider` for development forgets all but the last 1000 objects.
const stored = new Map();
const secrets = new Set();
class Store {
  constructor(name) { this.name = name; }
  key(id) { return `${this.name}:${id}`; }
  async upsert(id, payload) {
    stored.set(this.key(id), payload);
    if (this.name === "Session") stored.set(`uid:${payload.uid}`, id);
    // An interaction names a grant as well, and outlives it: the person is signing in as somebody else.
    const isToken = ["AccessToken", "AuthorizationCode", "RefreshToken"].includes(this.name);
    if (isToken) secrets.add(id);
    if (isToken && payload.grantId) {
      const members = `grant:${payload.grantId}`;
      if (!stored.has(members)) stored.set(members, new Set());
      stored.get(members).add(this.key(id));
    }
  }
  async find(id) { return stored.get(this.key(id)); }
  async findByUid(uid) { return this.find(stored.get(`uid:${uid}`)); }
  async consume(id) { stored.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { stored.delete(this.key(id)); }
  async revokeByGrantId(grantId) {
    for (const key of stored.get(`grant:${grantId}`) ?? []) stored.delete(key);
    stored.delete(`grant:${grantId}`);
  }
}

const claims = {
  openid: ["sub"],
  email: ["email", "email_verified"],
  profile: ["name", "preferred_username"],
  groups: ["groups"],
};

const make = () => {
  const provider = new Provider(issuer, {
    clients: [{
      client_id: "doorward",
      client_secret: process.env.CLIENT_SECRET ?? "a secret of the tests, long enough",
      redirect_uris: callback.split(","),
      post_logout_redirect_uris: signedOut.split(","),
      response_types: ["code"],
      grant_types: ["authorization_code", "refresh_token"],
      backchannel_logout_uri: backchannel,
      backchannel_logout_session_required: true,
    }],
    adapter: Store,
    jwks: { keys },
    // Logout tokens go to a gateway on this machine, which its protection against requests to private addresses refuses.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    claims,
    scopes: ["openid", "offline_access", "groups"],
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: false },
      revocation: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        // Asks nothing, as many providers do with a hint.
        logoutSource: (ctx, form) => {
          ctx.body = `<!doctype html><title>Sign out</title>${form}<script>document.forms[0].submit()</script>`
            .replace("</form>", '<input type="hidden" name="logout" value="yes"></form>');
        },
      },
    },
    pkce: { required: () => true },
    cookies: { keys: cookieKeys },
    conformIdTokenClaims: false,
    // Without the scope offline_access too, as Keycloak.
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed("refresh_token"),
    rotateRefreshToken: true,
    findAccount: (ctx, sub) => {
      const person = people.get(sub);
      return person && { accountId: sub, claims: () => ({ sub, ...person }) };
    },
    loadExistingGrant: async (ctx) => {
      const { client, session, provider: op } = ctx.oidc;
      const known = session.grantIdFor(client.clientId);
      const found = known && await op.Grant.find(known);
      // A grant that was revoked with its refresh token is made anew: nobody is asked for consent here.
      if (found) return found;
      const grant = new op.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope("openid email profile groups offline_access");
      await grant.save();
      return grant;
    },
    interactions: { url: (ctx, interaction) => `/sign-in/${interaction.uid}` },
    renderError: (ctx, out) => { ctx.body = JSON.stringify(out); },
    ttl: { AccessToken: 3600, IdToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600 },
  });
  provider.proxy = false;
  provider.on("grant.success", (ctx) => {
    count(`token:${ctx.oidc.params.grant_type}`);
    used(ctx);
  });
  provider.on("grant.error", (ctx, error) => {
    count(`refused:${error.error}`);
    used(ctx);
  });
  return provider;
};
const count = (name) => counts.set(name, (counts.get(name) ?? 0) + 1);
const used = (ctx) => {
  const token = ctx.oidc.params?.refresh_token;
  if (token) uses.set(token, (uses.get(token) ?? 0) + 1);
};

let provider = make();
let app = provider.callback();

const body = async (request) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
};

const signIn = async (request, response, form) => {
  const details = await provider.interactionDetails(request, response);
  const login = form?.get("login") ?? details.params.login_hint;
  if (!login) {
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><title>Provider</title><form method="post"><input name="login" autofocus><button>Go</button></form>`);
    return;
  }
  const result = people.has(login)
    ? { login: { accountId: login } }
    : { error: "access_denied", error_description: "<b>nobody of that name</b>" };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
};

// A logout token. A member that is null is left out.
const signed = ({ header = {}, claims = {} }) => {
  const now = Math.floor(Date.now() / 1000);
  const events = { "http://schemas.openid.net/event/backchannel-logout": {} };
  const part = (object) => Buffer.from(JSON.stringify(object, (_, value) => value ?? undefined)).toString("base64url");
  const head = part({ alg: "RS256", typ: "logout+jwt", kid: keys[0].kid, ...header });
  const jti = randomBytes(12).toString("hex");
  const body = part({ iss: issuer, aud: "doorward", iat: now, exp: now + 120, jti, events, ...claims });
  const key = createPrivateKey({ key: keys[0], format: "jwk" });
  return `${head}.${body}.${sign("RSA-SHA256", Buffer.from(`${head}.${body}`), key).toString("base64url")}`;
};

const control = async (request, response, [what, name]) => {
  const isPut = request.method === "PUT";
  const sent = await body(request);
  let answer = {};
  if (what === "people" && isPut) people.set(name, JSON.parse(sent));
  else if (what === "people") people.delete(name);
  else if (what === "keys") {
    keys.unshift(key(randomBytes(6).toString("hex")));
    provider = make();
    app = provider.callback();
  } else if (what === "counts") answer = Object.fromEntries(counts);
  else if (what === "uses") answer = [uses.size, Math.max(0, ...uses.values())];
  else if (what === "secrets") answer = [...secrets];
  else if (what === "held") answer = { now: held.size, peak };
  else if (what === "hang") {
    hang = isPut;
    for (const waiting of held) waiting.destroy();
    held.clear();
  }
  else if (what === "sign") answer = { token: signed(JSON.parse(sent)) };
  else if (what === "clock") ahead = Number(name);
  else if (what === "away") away = isPut;
  else if (what === "slow") slow = Number(name);
  else response.statusCode = 404;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(answer));
};

createServer(async (request, response) => {
  try {
    const url = new URL(request.url, issuer);
    if (url.pathname.startsWith("/control/")) return await control(request, response, url.pathname.slice(9).split("/"));
    if (url.pathname.startsWith("/sign-in/")) {
      const form = request.method === "POST" ? new URLSearchParams(await body(request)) : undefined;
      return await signIn(request, response, form);
    }
    if (url.pathname.startsWith("/token/revocation")) count("revocation");
    if (hang) {
      held.add(request.socket);
      peak = Math.max(peak, held.size);
      request.socket.on("close", () => held.delete(request.socket));
      return;
    }
    response.setHeader("date", new Date(Date.now()).toUTCString());
    if (away) {
      response.statusCode = 503;
      return response.end();
    }
    if (slow && url.pathname === "/token") await new Promise((resolve) => setTimeout(resolve, slow));
    return await app(request, response);
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error?.stack ?? error));
  }
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));

// A test that is killed leaves nothing behind.
process.stdin.resume().on("end", () => process.exit());
