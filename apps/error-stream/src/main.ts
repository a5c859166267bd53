import { orExit } from "@timespan/runtime/settings";
import { readConfig } from "./config.ts";
import { runErrorStream } from "./run.ts";
import { serveOnBun } from "./serve-on-bun.ts";

await runErrorStream(orExit(readConfig), serveOnBun);
