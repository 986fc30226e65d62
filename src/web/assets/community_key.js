// The key of a community: made here, saved as a file here, and of it only the public half goes into the form.
const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/** Multicodec: p256-pub and p256-priv, as varints. */
const PUBLIC = [0x80, 0x24];
const PRIVATE = [0x86, 0x26];

/** Of bytes that begin with none that is 0, as those here do. */
function toBase58(bytes) {
  let number = 0n;
  for (const byte of bytes) number = number * 256n + BigInt(byte);
  let text = "";
  for (; number > 0n; number /= 58n) text = ALPHABET[Number(number % 58n)] + text;
  return text;
}

const fromBase64 = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));

async function makeKey() {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const { publicKey, privateKey } = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  const { d } = await crypto.subtle.exportKey("jwk", privateKey);
  const isOdd = point[64] & 1;
  return {
    didKey: `did:key:z${toBase58([...PUBLIC, 2 + isOdd, ...point.subarray(1, 33)])}`,
    secret: `z${toBase58([...PRIVATE, ...fromBase64(d)])}`,
  };
}

/** As `kith community new` writes it, and goat and others read it: the private key is the first line. */
function fileOf({ didKey, secret }, idempotencyKey) {
  return `${secret}
# The line above is the private rotation key of a community. Who has it rules the community's identity:
# keep it secret, keep a copy elsewhere. No server has it, and nobody can restore it.
# public key: ${didKey}
# idempotency-key: ${idempotencyKey}
`;
}

function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const maker = document.querySelector("[data-key-maker]");
const part = (name) => maker.querySelector(`[data-key-${name}]`);

if (maker && globalThis.crypto?.subtle) {
  const form = maker.closest("form");
  const input = form.elements.rotationKey;
  const [button, again, byHand, failed] = ["make", "download", "by-hand", "failed"].map(part);
  let file;
  const download = () => save(file.text, file.name);
  byHand.open = input.getAttribute("aria-invalid") === "true";
  // What is wrong with a field is said by the browser, which cannot show it inside of what is closed.
  input.addEventListener("invalid", () => {
    byHand.open = true;
  });
  button.hidden = false;
  if (input.value !== "") button.lastChild.textContent = button.dataset.again;
  button.addEventListener("click", async () => {
    failed.hidden = true;
    try {
      const key = await makeKey();
      const end = key.didKey.slice(-8);
      file = {
        text: fileOf(key, form.elements.idempotencyKey.value),
        name: `${maker.dataset.keyMaker}-${end}.txt`,
      };
      input.value = key.didKey;
      form.elements.saved.checked = false;
      part("public").textContent = key.didKey;
      part("made").hidden = false;
      again.hidden = false;
      button.lastChild.textContent = button.dataset.again;
      download();
    } catch {
      failed.hidden = false;
      byHand.open = true;
    }
  });
  again.addEventListener("click", download);
}
