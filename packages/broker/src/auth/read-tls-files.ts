import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

/** PEM texts, as `tls.connect` takes them. */
export interface TlsTexts {
  ca?: string;
  cert?: string;
  key?: string;
}

/** Where they are; absent where not set. */
export interface TlsFiles {
  KAFKA_SSL_CA_FILE?: string | undefined;
  KAFKA_SSL_CERT_FILE?: string | undefined;
  KAFKA_SSL_KEY_FILE?: string | undefined;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Reads and checks the files now, so that a wrong one is told at the start by its variable and not by a handshake.
 * No problem ever quotes what a file holds.
 */
export function readTlsFiles(files: TlsFiles): { texts: TlsTexts; problems: string[] } {
  const texts: TlsTexts = {};
  const problems: string[] = [];
  /** The file's text if `check` accepts it; what it throws becomes a problem. */
  const read = (name: keyof TlsFiles, check: (text: string) => void): string | undefined => {
    const path = files[name];
    if (path === undefined) return undefined;
    try {
      const text = readText(path);
      check(text);
      return text;
    } catch (error) {
      problems.push(`${name}: ${error instanceof Unusable ? error.message : "cannot be used"}`);
      return undefined;
    }
  };
  const ca = read("KAFKA_SSL_CA_FILE", checkCertificates);
  const cert = read("KAFKA_SSL_CERT_FILE", checkCertificates);
  const key = read("KAFKA_SSL_KEY_FILE", checkPrivateKey);
  if ((files.KAFKA_SSL_CERT_FILE === undefined) !== (files.KAFKA_SSL_KEY_FILE === undefined)) {
    problems.push("KAFKA_SSL_CERT_FILE and KAFKA_SSL_KEY_FILE go together: set both or neither");
  }
  if (cert !== undefined && key !== undefined) {
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
      problems.push("KAFKA_SSL_KEY_FILE is not the key of the first certificate in KAFKA_SSL_CERT_FILE");
    }
  }
  if (ca !== undefined) texts.ca = ca;
  if (cert !== undefined) texts.cert = cert;
  if (key !== undefined) texts.key = key;
  return { texts, problems };
}

class Unusable extends Error {}

function readText(path: string): string {
  if (path.includes("-----BEGIN") || path.includes("\n")) {
    throw new Unusable("must be the path of a file, not what the file holds");
  }
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reasons: Record<string, string> = {
      ENOENT: "there is no such file",
      EACCES: "this process may not read it",
      EISDIR: "it is a folder",
    };
    throw new Unusable(`cannot read ${path}: ${reasons[code ?? ""] ?? code}`);
  }
}

function checkCertificates(text: string): void {
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0)
    throw new Unusable("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
  for (const [index, certificate] of certificates.entries()) {
    try {
      new X509Certificate(certificate);
    } catch {
      throw new Unusable(`certificate ${index + 1} of ${certificates.length} is damaged`);
    }
  }
}

function checkPrivateKey(text: string): void {
  if (/ENCRYPTED/.test(text)) throw new Unusable("the key is encrypted; give one without a passphrase");
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw new Unusable("holds no private key in PEM (-----BEGIN PRIVATE KEY-----)");
  }
  try {
    createPrivateKey(text);
  } catch {
    throw new Unusable("the private key is damaged");
  }
}
