/** What is done with the value of a masked key. */
export type MaskAction = "hash" | "drop";

/** One configured key, and how many values it masked. */
export interface MaskRule {
  /** As configured: `user.id`, or `patient.*` for everything below `patient`. */
  readonly key: string;
  readonly action: MaskAction;
  count: number;
}

/** Limits of what can be configured; each key is a label of a metric too. */
export const MASK_KEYS_MAX = 200;
export const MASK_KEY_CHARACTERS_MAX = 255;

/** Looked-up keys that are remembered; beyond it the memory starts afresh, which costs only time. */
const REMEMBERED_STEPS_MAX = 20_000;
const REMEMBERED_KEY_CHARACTERS_MAX = 128;

/** What is wrong with a configured key, in words that follow its name; `undefined` where nothing is. */
export function maskKeyProblem(key: string): string | undefined {
  if (key.length > MASK_KEY_CHARACTERS_MAX) return `has more than ${MASK_KEY_CHARACTERS_MAX} characters`;
  const name = key.endsWith(".*") ? key.slice(0, -2) : key;
  if (name === "" || name.includes("*")) return "must be a key, or a prefix as in patient.*";
  return undefined;
}

/** Where a configured key, read segment by segment, has got to. */
interface Node {
  readonly id: number;
  readonly children: Map<string, Node>;
  /** The rule of the key that ends here. */
  exact?: MaskRule;
  /** The rule of the prefix that ends here; it holds for all that follows. */
  below?: MaskRule;
}

/** What a key means at some place of an object: it is masked by `rule`, or its value continues at `next`. */
export interface MaskStep {
  rule: MaskRule | undefined;
  next: MaskPlace;
}

/**
 * A place within attributes: the configured keys that are matched in part by the keys that lead here, and all of
 * them from their beginning, because every object starts anew.
 */
export class MaskPlace {
  readonly #keys: MaskKeys;
  readonly #nodes: readonly Node[];
  /** Filled as keys are met; emptied by {@link MaskKeys} when there are too many. */
  readonly remembered = new Map<string, MaskStep>();

  constructor(keys: MaskKeys, nodes: readonly Node[]) {
    this.#keys = keys;
    this.#nodes = nodes;
  }

  /** What `key` means here; dots in it and nesting below it are the same. */
  step(key: string): MaskStep {
    const known = this.remembered.get(key);
    if (known !== undefined) return known;
    const step = this.#find(key.toLowerCase().split("."));
    if (key.length <= REMEMBERED_KEY_CHARACTERS_MAX) this.#keys.remember(this, key, step);
    return step;
  }

  #find(segments: readonly string[]): MaskStep {
    const step = this.#walk(segments);
    if (segments[0] !== "otel" || segments[1] !== "scope" || segments.length === 2) return step;
    // The attributes of an OpenTelemetry scope are stored as `otel.scope.<key>`: an object of their own.
    return this.#either(step, this.#keys.root.step(segments.slice(2).join(".")));
  }

  #walk(segments: readonly string[]): MaskStep {
    const rules: (MaskRule | undefined)[] = [];
    const reached = new Set<Node>();
    for (const start of this.#nodes) {
      let node: Node | undefined = start;
      for (const segment of segments) {
        rules.push(node.below);
        node = node.children.get(segment);
        if (node === undefined) break;
      }
      if (node === undefined) continue;
      rules.push(node.exact);
      reached.add(node);
    }
    return { rule: strongest(rules), next: this.#keys.place(reached) };
  }

  /** Where a value is that has two names here: `key`, and the one given by `other`. */
  stepEither(key: string, other: MaskStep): MaskStep {
    return this.#either(this.step(key), other);
  }

  #either(step: MaskStep, other: MaskStep): MaskStep {
    if (step.next === other.next && step.rule === other.rule) return step;
    return {
      rule: strongest([step.rule, other.rule]),
      next: this.#keys.place(new Set([...step.next.#nodes, ...other.next.#nodes])),
    };
  }
}

function strongest(rules: readonly (MaskRule | undefined)[]): MaskRule | undefined {
  return rules.find((rule) => rule?.action === "drop") ?? rules.find((rule) => rule !== undefined);
}

/**
 * The configured keys, matched without regard to case. A key is found in any object however deep, and written with
 * dots or by nesting: `user.id` is found in `{"user.id": 1}`, in `{"user": {"id": 1}}`, and in both within another
 * object. Where a value is to be hashed by one key and dropped by another, it is dropped.
 */
export class MaskKeys {
  readonly rules: readonly MaskRule[];
  /** The beginning of an object that is not within another. */
  readonly root: MaskPlace;
  readonly #rootNode: Node = { id: 0, children: new Map() };
  readonly #places = new Map<string, MaskPlace>();
  #nodeCount = 1;
  #rememberedCount = 0;

  constructor(hashKeys: readonly string[], dropKeys: readonly string[]) {
    this.rules = [
      ...hashKeys.map((key): MaskRule => ({ key, action: "hash", count: 0 })),
      ...dropKeys.map((key): MaskRule => ({ key, action: "drop", count: 0 })),
    ];
    for (const rule of this.rules) this.#add(rule);
    this.root = this.place(new Set());
  }

  #add(rule: MaskRule): void {
    const key = rule.key.toLowerCase();
    const prefix = key.endsWith(".*");
    let node = this.#rootNode;
    for (const segment of (prefix ? key.slice(0, -2) : key).split(".")) {
      let child = node.children.get(segment);
      if (child === undefined) {
        child = { id: this.#nodeCount++, children: new Map() };
        node.children.set(segment, child);
      }
      node = child;
    }
    if (prefix) node.below = rule;
    else node.exact = rule;
  }

  /** The one place object for `reached` and the root. */
  place(reached: ReadonlySet<Node>): MaskPlace {
    const nodes = [this.#rootNode, ...[...reached].filter((node) => node !== this.#rootNode)];
    nodes.sort((a, b) => a.id - b.id);
    const id = nodes.map((node) => node.id).join(" ");
    let place = this.#places.get(id);
    if (place === undefined) {
      place = new MaskPlace(this, nodes);
      this.#places.set(id, place);
    }
    return place;
  }

  remember(place: MaskPlace, key: string, step: MaskStep): void {
    if (this.#rememberedCount >= REMEMBERED_STEPS_MAX) {
      for (const each of this.#places.values()) each.remembered.clear();
      this.#rememberedCount = 0;
    }
    this.#rememberedCount++;
    place.remembered.set(key, step);
  }
}
