import { Counter, Gauge, Histogram, Registry } from "prom-client";

export { Counter, Gauge, Histogram, Registry };

/** One registry a process, so that tests can build two apps side by side without clashing names. */
export function createRegistry(serviceName: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service_name: serviceName });
  const memory = new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of this process.",
    registers: [registry],
    collect() {
      memory.set(process.memoryUsage.rss());
    },
  });
  return registry;
}
