/**
 * `bun run build [folder]`: what an image holds: one file for each process, the migrations beside them, the licence.
 * The Dockerfile runs it, and so do the tests, on machines without Docker.
 */
import { cpSync, rmSync } from "node:fs";
import { join, relative, resolve } from "node:path";

const REPOSITORY = resolve(import.meta.dir, "..");

/** The entry of each process. A container runs `<name>.js`. */
export const BUNDLES = {
  migrate: "apps/timespan/src/migrate-main.ts",
  keys: "apps/timespan/src/keys-main.ts",
  analysts: "apps/timespan/src/analysts-main.ts",
  doctor: "apps/timespan/src/doctor-main.ts",
  "stream-processor": "apps/stream-processor/src/main.ts",
  "query-api": "apps/query-api/src/main.ts",
  "error-stream": "apps/error-stream/src/main.ts",
} as const;

export type BundleName = keyof typeof BUNDLES;

/**
 * Builds every bundle into `outDir`.
 * @returns the files each was made of, as paths in the repository
 * @throws {AggregateError} of the bundler
 */
export async function buildBundles(outDir: string): Promise<Record<BundleName, string[]>> {
  const inputs: Record<BundleName, string[]> = {
    migrate: [],
    keys: [],
    analysts: [],
    doctor: [],
    "stream-processor": [],
    "query-api": [],
    "error-stream": [],
  };
  for (const name of Object.keys(BUNDLES) as BundleName[]) {
    const { metafile } = await Bun.build({
      entrypoints: [join(REPOSITORY, BUNDLES[name])],
      root: REPOSITORY,
      target: "bun",
      // Optional in pg, and only asked for within a Cloudflare worker.
      external: ["pg-cloudflare"],
      outdir: outDir,
      naming: `${name}.[ext]`,
      // Beside the bundle: the stack of an error then names our files and lines.
      sourcemap: "linked",
      metafile: true,
    });
    inputs[name] = Object.keys(metafile?.inputs ?? {}).map((path) => relative(REPOSITORY, resolve(path)));
  }
  rmSync(join(outDir, "migrations"), { recursive: true, force: true });
  cpSync(join(REPOSITORY, "migrations"), join(outDir, "migrations"), { recursive: true });
  cpSync(join(REPOSITORY, "LICENSE"), join(outDir, "LICENSE"));
  return inputs;
}

if (import.meta.main) {
  const outDir = resolve(process.argv[2] ?? join(REPOSITORY, "dist"));
  const bundles = Object.entries(await buildBundles(outDir));
  for (const [name, inputs] of bundles) console.log(`${join(outDir, name)}.js, of ${inputs.length} files`);
}
