export { compileBundle, compileFlow } from "./compile.ts";
export {
  type CompiledDestination,
  type CompiledFlow,
  expandFlow,
  type FlowContext,
  type FlowProblem,
  instancesOf,
  shortName,
} from "./compiled-flow.ts";
export { decodeJson, decodeJsonText, maxInputDepth } from "./decode.ts";
export { type Delivery, expectedAnswer, type ReadAnswer, readAnswer, renderDelivery } from "./deliver.ts";
export { describeDestination } from "./destinations.ts";
export { type RenderedSite, renderSite, type Validation, validateDocuments } from "./documents.ts";
export { flowFunctions } from "./functions.ts";
export type { ReadExample } from "./judge.ts";
export { joinKey } from "./key.ts";
export { type FlowInput, type Mapped, type MappedLine, mapInput, maxInputBytes, runSteps, runSync } from "./map.ts";
export { type DocumentProblem, parseSource, type SourceFile } from "./yaml-source.ts";
