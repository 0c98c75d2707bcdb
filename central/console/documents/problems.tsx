import type { DocumentProblem } from "../api/configuration.ts";
import { Icon } from "../parts/icon.tsx";
import { plural } from "../parts/time.ts";
import type { Validation } from "./use-validation.ts";

interface ProblemsProps {
  readonly validation: Validation;
  readonly onGo: (problem: DocumentProblem) => void;
}

/** Beneath the text: what is wrong, each a way to where it stands; spoken politely when it changes. */
export function Problems({ validation, onGo }: ProblemsProps) {
  const { kind, problems } = validation;
  const warnings = validation.kind === "checked" ? (validation.warnings ?? []) : [];
  return (
    <section className="problems" aria-label="Problems">
      <p
        role="status"
        className="problems-state"
        data-tone={problems.length > 0 ? "bad" : kind === "checked" ? "good" : undefined}
      >
        {validation.kind === "unchecked" ? (
          <>
            <Icon name="warning" size={14} /> Not judged: {validation.why}. It is judged again as soon as you type, and when you
            save.
          </>
        ) : problems.length > 0 ? (
          <>
            <Icon name="cross" size={14} /> {plural(problems.length, "problem")}
          </>
        ) : kind === "checked" ? (
          <>
            <Icon name="check" size={14} /> No problems
          </>
        ) : (
          <>
            <Icon name="clock" size={14} /> Being judged
          </>
        )}
      </p>
      {problems.length > 0 && <ProblemList problems={problems} onGo={onGo} />}
      {warnings.length > 0 && (
        <>
          <p className="problems-state">
            <Icon name="warning" size={14} /> {plural(warnings.length, "warning")}: possible, and probably not meant
          </p>
          <ProblemList problems={warnings} onGo={onGo} />
        </>
      )}
    </section>
  );
}

export function ProblemList({
  problems,
  onGo,
}: {
  readonly problems: readonly DocumentProblem[];
  readonly onGo?: (problem: DocumentProblem) => void;
}) {
  return (
    <ul className="problem-list">
      {problems.map((problem) => {
        const where = `${problem.file}:${problem.line}:${problem.column}`;
        return (
          <li key={`${where} ${problem.path} ${problem.message}`}>
            {onGo ? (
              <button type="button" className="link mono" onClick={() => onGo(problem)}>
                {where}
              </button>
            ) : (
              <span className="mono">{where}</span>
            )}
            <span>
              {problem.path !== "" && <b className="mono">{problem.path}</b>} {problem.message}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
