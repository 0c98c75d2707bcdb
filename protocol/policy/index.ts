export type { EffectiveValue, ValueOrigin } from "./origin.ts";
export { describeSelector } from "./precedence.ts";
export { type ReviewRule, reviewOf } from "./review.ts";
export { type SecretUse, secretsIn } from "./secret-uses.ts";
export { type KeyPolicy, keyPolicy, linkPolicy, watchPolicy } from "./settings.ts";
