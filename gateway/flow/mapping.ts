export type { Answer, MapJob, MappedMessage, Mapping, MapResult, Rendered } from "./mapping-contract.ts";
export { type MappingDeps, openMapping } from "./mapping-runner.ts";
