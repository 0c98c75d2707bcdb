import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiError } from "../api/client.ts";
import { type DocumentProblem, type SourceFile, validate } from "../api/configuration.ts";
import { lookAgainAfter } from "../api/session.ts";

/** checking: typed since the last answer. unchecked: central did not judge, and why. */
export type Validation =
  | { readonly kind: "checking"; readonly problems: readonly DocumentProblem[] }
  | {
      readonly kind: "checked";
      readonly problems: readonly DocumentProblem[];
      /** What is possible and probably not meant: it holds nothing up. */
      readonly warnings?: readonly DocumentProblem[];
    }
  | { readonly kind: "unchecked"; readonly problems: readonly DocumentProblem[]; readonly why: string };

// Long enough for a word to be finished, short enough to feel like the text's own.
const quietMs = 350;

/** Central judges while one types: the same code that judges at submit, together with what is in force in the environment. */
export function useValidation(files: readonly SourceFile[], environment: string): Validation {
  const client = useQueryClient();
  const [validation, setValidation] = useState<Validation>({ kind: "checking", problems: [] });
  useEffect(() => {
    const ended = new AbortController();
    setValidation((before) => ({ kind: "checking", problems: before.problems }));
    const timer = setTimeout(() => {
      validate(files, environment === "" ? undefined : environment, ended.signal).then(
        ({ problems, warnings }) => setValidation({ kind: "checked", problems, warnings }),
        (error: unknown) => {
          if (ended.signal.aborted) return;
          lookAgainAfter(client, error, [401, 403]);
          setValidation(toValidation(error));
        },
      );
    }, quietMs);
    return () => {
      clearTimeout(timer);
      ended.abort();
    };
  }, [client, files, environment]);
  return validation;
}

function toValidation(error: unknown): Validation {
  const problems = error instanceof ApiError && Array.isArray(error.problem.problems) ? error.problem.problems : [];
  const placed = problems.filter(isPlaced);
  if (placed.length > 0) return { kind: "checked", problems: placed };
  return { kind: "unchecked", problems: [], why: error instanceof Error ? error.message : String(error) };
}

function isPlaced(problem: unknown): problem is DocumentProblem {
  return typeof problem === "object" && problem !== null && "line" in problem && "file" in problem;
}
