import type { ReleasesAnswer } from "../../http/api/releases.ts";
import { useDropUpload } from "../api/configuration.ts";
import { useHasRole, useMe } from "../api/session.ts";
import { Failure } from "../parts/failure.tsx";
import { Grid } from "../parts/grid.tsx";
import { formatBytes } from "../parts/time.ts";
import { When } from "../parts/when.tsx";

const chunkBytes = 1024 * 1024;

/** Packages that somebody began to send and that have not come whole: whose they are, how far, and a way to be rid of them. */
export function Uploads({ uploads }: Pick<ReleasesAnswer, "uploads">) {
  const drop = useDropUpload();
  const { user, environments } = useMe();
  const isEngineer = useHasRole("engineer");
  if (uploads.length === 0) return null;
  return (
    <section aria-labelledby="uploads">
      <h2 id="uploads" className="section-title">
        On their way here
      </h2>
      <Failure error={drop.error} doing="take it away" />
      <Grid name="Packages on their way here" columns={["Package", "Has come", "Sent by", "Last moved", "What to do"]}>
        {uploads.map(({ upload, file, size, chunks, by, movedAt }) => (
          <tr key={upload}>
            <th scope="row" className="path">
              {file}
            </th>
            <td>
              {formatBytes(Math.min(size, chunks * chunkBytes))} of {formatBytes(size)}
            </td>
            <td>{by}</td>
            <td>
              <When at={movedAt} />
            </td>
            <td>
              {isEngineer && (by === user || environments.includes("*")) ? (
                <button
                  type="button"
                  className="link"
                  aria-label={`Take ${file} away`}
                  disabled={drop.isPending}
                  onClick={() => drop.mutate(upload)}
                >
                  Take away
                </button>
              ) : (
                <span className="tiny">{by} or an engineer of every environment takes it away</span>
              )}
            </td>
          </tr>
        ))}
      </Grid>
      <p className="tiny under-table">
        Sending the same file again goes on where it broke off. What stands still for two hours is given up.
      </p>
    </section>
  );
}
