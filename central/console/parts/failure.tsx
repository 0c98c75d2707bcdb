import { ApiError } from "../api/client.ts";
import { Icon } from "./icon.tsx";

/** Why a call that should change something did not; beside the button that was pressed. */
export function Failure({ error, doing }: { readonly error: Error | null; readonly doing: string }) {
  if (!error) return null;
  const unknown = error instanceof ApiError && error.status === 0;
  return (
    <p className="failure" role="alert">
      <Icon name="warning" size={16} />
      <span>
        <strong>{unknown ? `Nobody knows whether it worked to ${doing}.` : `It did not work to ${doing}.`}</strong>{" "}
        {error.message}
        {unknown ? ". Look whether it happened before you try again." : ""}
      </span>
    </p>
  );
}
