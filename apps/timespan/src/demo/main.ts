import { Lifecycle } from "@timespan/runtime/lifecycle";
import { createLogger } from "@timespan/runtime/logger";
import { readDemoConfig } from "./config.ts";
import { runTraffic } from "./run-traffic.ts";

const log = createLogger("timespan-demo");
const lifecycle = new Lifecycle(log);
lifecycle.stopOnSignals();

try {
  const config = readDemoConfig();
  const stop = new AbortController();
  const traffic = runTraffic({ ...config, signal: stop.signal, log });
  lifecycle.onStop("traffic", () => {
    stop.abort();
    return traffic;
  });
  await traffic;
} catch (err) {
  lifecycle.failWith(err);
}
