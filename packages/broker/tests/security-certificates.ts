import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Paths of PEM files, made for one run. */
export interface TestCertificates {
  folder: string;
  /** The authority that signed all but {@link strangerCa}. */
  ca: string;
  /** Key and certificate in one file, as Kafka wants its PEM key store; for 127.0.0.1 and localhost. */
  brokerStore: string;
  /** The same for another name than any under which a test connects. */
  misnamedStore: string;
  clientCert: string;
  clientKey: string;
  /** An authority that signed nothing here. */
  strangerCa: string;
  /** A certificate of the stranger, which a broker must refuse. */
  strangerCert: string;
  strangerKey: string;
  remove(): void;
}

/** Whether this machine can make certificates. */
export const hasOpenssl = Bun.which("openssl") !== null;

/** @throws {Error} with what openssl said */
export function makeCertificates(): TestCertificates {
  const folder = mkdtempSync(join(tmpdir(), "timespan-certificates-"));
  const authority = (name: string) => {
    newKey(name);
    openssl(
      "req",
      "-x509",
      "-new",
      "-key",
      `${name}.key`,
      "-out",
      `${name}.pem`,
      "-days",
      "2",
      "-subj",
      `/CN=${name}`,
    );
  };
  const signed = (name: string, by: string, extension: string) => {
    newKey(name);
    writeFileSync(join(folder, `${name}.ext`), `${extension}\n`);
    openssl("req", "-new", "-key", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    openssl(
      ...[
        "x509",
        "-req",
        "-in",
        `${name}.csr`,
        "-out",
        `${name}.pem`,
        "-days",
        "2",
        "-extfile",
        `${name}.ext`,
      ],
      ...["-CA", `${by}.pem`, "-CAkey", `${by}.key`, "-CAcreateserial"],
    );
  };
  const newKey = (name: string) =>
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", `${name}.key`);
  const openssl = (...args: string[]) => {
    const { status, stderr, error } = spawnSync("openssl", args, { cwd: folder, encoding: "utf8" });
    if (status !== 0) throw new Error(`openssl ${args[0]}: ${error?.message ?? stderr}`);
  };
  const path = (name: string) => join(folder, name);
  const store = (name: string) => {
    const file = path(`${name}-store.pem`);
    writeFileSync(
      file,
      readFileSync(path(`${name}.key`), "utf8") + readFileSync(path(`${name}.pem`), "utf8"),
    );
    return file;
  };
  authority("ca");
  authority("stranger-ca");
  signed("broker", "ca", "subjectAltName=IP:127.0.0.1,DNS:localhost");
  signed("misnamed", "ca", "subjectAltName=DNS:another.example");
  signed("client", "ca", "extendedKeyUsage=clientAuth");
  signed("stranger", "stranger-ca", "extendedKeyUsage=clientAuth");
  return {
    folder,
    ca: path("ca.pem"),
    brokerStore: store("broker"),
    misnamedStore: store("misnamed"),
    clientCert: path("client.pem"),
    clientKey: path("client.key"),
    strangerCa: path("stranger-ca.pem"),
    strangerCert: path("stranger.pem"),
    strangerKey: path("stranger.key"),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
