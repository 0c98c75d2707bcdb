import type { Bundle } from "../bundle.ts";
import type { FlowConfig } from "../flow-config.ts";
import type { CompiledFlow, FlowContext, FlowProblem } from "./compiled-flow.ts";
import { FlowJudge } from "./flow-judge.ts";

/** Compiles one flow that has the right shape, and judges what the shape cannot say. A flow with problems is not to be run. */
export function compileFlow(
  name: string,
  config: FlowConfig,
  context: FlowContext,
): { readonly flow: CompiledFlow; readonly problems: readonly FlowProblem[] } {
  const judge = new FlowJudge(config, context);
  return { flow: judge.compile(name), problems: judge.problems };
}

/** All flows of a bundle. Problems carry the path from the bundle's root. */
export function compileBundle(bundle: Bundle): {
  readonly flows: ReadonlyMap<string, CompiledFlow>;
  readonly problems: readonly FlowProblem[];
} {
  const flows = new Map<string, CompiledFlow>();
  const problems: FlowProblem[] = [];
  for (const [name, config] of Object.entries(bundle.flows)) {
    const compiled = compileFlow(name, config, bundle);
    flows.set(name, compiled.flow);
    problems.push(...compiled.problems.map((problem) => ({ ...problem, path: ["flows", name, ...problem.path] })));
  }
  return { flows, problems };
}
