// What pages can do better with a script: show a password, copy, use a passkey, go on by themselves. All but passkeys work without.
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

for (const button of all("[data-show-password]")) {
  const input = document.getElementById(button.getAttribute("aria-controls"));
  button.hidden = false;
  button.addEventListener("click", () => {
    const isShown = input.type === "password";
    input.type = isShown ? "text" : "password";
    button.setAttribute("aria-pressed", String(isShown));
    button.textContent = isShown ? button.dataset.hide : button.dataset.show;
    input.focus();
  });
}

for (const button of all("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = button.dataset.copied;
    setTimeout(() => {
      button.textContent = label;
    }, 2000);
  });
}

// A second press of the same button would send the form twice.
for (const form of all("form")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
    event.submitter?.setAttribute("aria-disabled", "true");
  });
}
// The browser may show this page again as it was left.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of all("form")) delete form.dataset.sent;
  for (const button of all("[aria-disabled]")) button.removeAttribute("aria-disabled");
});

one("form[data-auto-submit]")?.requestSubmit();

const toBytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
const withId = (descriptor) => ({ ...descriptor, id: toBytes(descriptor.id) });

function readOptions(json) {
  const { challenge, user, allowCredentials, excludeCredentials, ...rest } = JSON.parse(json);
  return {
    ...rest,
    challenge: toBytes(challenge),
    ...(user && { user: { ...user, id: toBytes(user.id) } }),
    ...(allowCredentials && { allowCredentials: allowCredentials.map(withId) }),
    ...(excludeCredentials && { excludeCredentials: excludeCredentials.map(withId) }),
  };
}

function writeCredential({ id, rawId, type, response, authenticatorAttachment, ...credential }) {
  const field = (name) => (response[name] ? { [name]: toText(response[name]) } : {});
  return JSON.stringify({
    id,
    rawId: toText(rawId),
    type,
    authenticatorAttachment: authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.extensions,
    response: {
      ...field("clientDataJSON"),
      ...field("attestationObject"),
      ...field("authenticatorData"),
      ...field("signature"),
      ...field("userHandle"),
      ...(response.getTransports ? { transports: response.getTransports() } : {}),
    },
  });
}

async function askPasskey(form) {
  const publicKey = readOptions(form.dataset.options);
  const isNew = form.dataset.passkey === "create";
  const found = await navigator.credentials[isNew ? "create" : "get"]({ publicKey });
  return writeCredential({
    id: found.id,
    rawId: found.rawId,
    type: found.type,
    response: found.response,
    authenticatorAttachment: found.authenticatorAttachment,
    extensions: found.getClientExtensionResults(),
  });
}

for (const form of all("form[data-passkey]")) {
  const failure = one("[data-passkey-failure]", form);
  if (!window.PublicKeyCredential) continue;
  for (const button of all("button", form)) button.disabled = false;
  form.addEventListener("submit", async (event) => {
    const input = one("input[name=credential]", form);
    if (input.value) return;
    event.preventDefault();
    failure.hidden = true;
    try {
      input.value = await askPasskey(form);
      for (const copy of all("[data-ticked-as]", form))
        copy.value = document.getElementById(copy.dataset.tickedAs).checked ? "on" : "";
      form.submit();
    } catch {
      failure.hidden = false;
      delete form.dataset.sent;
      for (const button of all("[aria-disabled]", form)) button.removeAttribute("aria-disabled");
    }
  });
}
