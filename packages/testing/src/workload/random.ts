/** Seeded randomness: the same seeds give the same numbers on every machine. Not for secrets. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `digits` hexadecimal digits (a multiple of 8), never all zero. */
  hex(digits: number): string;
  /** Around a median of 1: log-normal, and one in a hundred from a Pareto tail of up to 25 times that. */
  latencyFactor(): number;
}

const LOG_NORMAL_SIGMA = 0.4;
const TAIL_SHARE = 0.01;
const TAIL_FACTOR_MAX = 25;
const TAIL_EXPONENT = 0.7;

/**
 * sfc32 of Chris Doty-Humphrey's PractRand (public domain). Its state is 128 bits and a step is reversible, so
 * different seeds never share a state: ids drawn from it do not collide as they would with a 32-bit generator.
 * `first` and `second` are whole numbers of up to 53 bits, `stream` of up to 32.
 */
export function createRandom(first: number, second: number, stream = 0): Random {
  const HIGH = 0x1_0000_0000;
  let a = first | 0;
  let b = second | 0;
  let c = (Math.floor(second / HIGH) ^ Math.imul(stream, 0x9e37_79b9)) | 0;
  let counter = (Math.floor(first / HIGH) + 1) | 0;
  const word = () => {
    const result = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return result >>> 0;
  };
  for (let round = 0; round < 12; round++) word(); // until every seed bit has reached every word

  const next = () => word() / HIGH;
  return {
    next,
    hex(digits) {
      let text = (word() || 1).toString(16).padStart(8, "0");
      while (text.length < digits) text += word().toString(16).padStart(8, "0");
      return text;
    },
    latencyFactor() {
      // Box-Muller: two uniform numbers make one normally distributed.
      const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
      const tail = next() < TAIL_SHARE ? Math.min((1 - next()) ** -TAIL_EXPONENT, TAIL_FACTOR_MAX) : 1;
      return Math.exp(LOG_NORMAL_SIGMA * normal) * tail;
    },
  };
}
