import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTlsFiles } from "../src/auth/read-tls-files.ts";
import { hasOpenssl, makeCertificates, type TestCertificates } from "./security-certificates.ts";

const folder = mkdtempSync(join(tmpdir(), "timespan-tls-files-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test("nothing set is nothing read", () => {
  expect(readTlsFiles({})).toEqual({ texts: {}, problems: [] });
});

test("what cannot be read is told by its variable, all at once", () => {
  const missing = join(folder, "missing.pem");
  const text = write("text.pem", "not a certificate");
  expect(
    readTlsFiles({ KAFKA_SSL_CA_FILE: missing, KAFKA_SSL_CERT_FILE: text, KAFKA_SSL_KEY_FILE: folder })
      .problems,
  ).toEqual([
    `KAFKA_SSL_CA_FILE: cannot read ${missing}: there is no such file`,
    "KAFKA_SSL_CERT_FILE: holds no certificate in PEM (-----BEGIN CERTIFICATE-----)",
    `KAFKA_SSL_KEY_FILE: cannot read ${folder}: it is a folder`,
  ]);
});

test("a damaged file is told as one, and its content never", () => {
  const broken = (label: string) => `-----BEGIN ${label}-----\nc2VjcmV0\n-----END ${label}-----\n`;
  const { problems } = readTlsFiles({
    KAFKA_SSL_CERT_FILE: write("broken.pem", broken("CERTIFICATE")),
    KAFKA_SSL_KEY_FILE: write("broken.key", broken("PRIVATE KEY")),
  });
  expect(problems).toEqual([
    "KAFKA_SSL_CERT_FILE: certificate 1 of 1 is damaged",
    "KAFKA_SSL_KEY_FILE: the private key is damaged",
  ]);
});

test("a key given in place of its path is refused without being repeated", () => {
  const { problems } = readTlsFiles({
    KAFKA_SSL_CERT_FILE: "-----BEGIN CERTIFICATE-----",
    KAFKA_SSL_KEY_FILE: "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----",
  });
  expect(problems).toEqual([
    "KAFKA_SSL_CERT_FILE: must be the path of a file, not what the file holds",
    "KAFKA_SSL_KEY_FILE: must be the path of a file, not what the file holds",
  ]);
});

describe.skipIf(!hasOpenssl)("with certificates of openssl", () => {
  let made: TestCertificates;
  beforeAll(() => {
    made = makeCertificates();
  });
  afterAll(() => made?.remove());

  test("an authority, or several in one file, and our own certificate are given as they are", () => {
    const both = write("both.pem", readFileSync(made.ca, "utf8") + readFileSync(made.strangerCa, "utf8"));
    const { texts, problems } = readTlsFiles({
      KAFKA_SSL_CA_FILE: both,
      KAFKA_SSL_CERT_FILE: made.clientCert,
      KAFKA_SSL_KEY_FILE: made.clientKey,
    });
    expect(problems).toEqual([]);
    expect(texts).toEqual({
      ca: readFileSync(both, "utf8"),
      cert: readFileSync(made.clientCert, "utf8"),
      key: readFileSync(made.clientKey, "utf8"),
    });
  });

  test("certificate and key go together, and must belong together", () => {
    expect(readTlsFiles({ KAFKA_SSL_CERT_FILE: made.clientCert }).problems).toEqual([
      "KAFKA_SSL_CERT_FILE and KAFKA_SSL_KEY_FILE go together: set both or neither",
    ]);
    expect(
      readTlsFiles({ KAFKA_SSL_CERT_FILE: made.clientCert, KAFKA_SSL_KEY_FILE: made.strangerKey }).problems,
    ).toEqual(["KAFKA_SSL_KEY_FILE is not the key of the first certificate in KAFKA_SSL_CERT_FILE"]);
  });

  test("a key with a passphrase is refused, since nobody could give it", () => {
    const path = join(folder, "encrypted.key");
    spawnSync("openssl", ["pkcs8", "-topk8", "-in", made.clientKey, "-out", path, "-passout", "pass:x"]);
    expect(readTlsFiles({ KAFKA_SSL_CERT_FILE: made.clientCert, KAFKA_SSL_KEY_FILE: path }).problems).toEqual(
      ["KAFKA_SSL_KEY_FILE: the key is encrypted; give one without a passphrase"],
    );
  });
});
