import { Button, Menu } from "@mantine/core";
import { Link, useLocation } from "wouter";
import { compareEnvironments, environmentOrder } from "../../change/environments.ts";
import type { DocumentSummary } from "../../http/api/documents.ts";
import { useDocuments } from "../api/configuration.ts";
import { useHasRole } from "../api/session.ts";
import { Environment } from "../parts/badge.tsx";
import { Grid } from "../parts/grid.tsx";
import { Icon } from "../parts/icon.tsx";
import { NarrowChoice, NarrowText } from "../parts/narrow.tsx";
import { Notice } from "../parts/notice.tsx";
import { Empty, Loaded, Page, PageHead } from "../parts/page.tsx";
import { useTitle } from "../parts/title.ts";
import { useUrlState } from "../parts/url-state.ts";
import { When } from "../parts/when.tsx";
import { kinds, kindWords } from "./kinds.ts";
import { documentPath } from "./paths.ts";

/** All documents in their newest revision, and which revision is in force where. */
export function DocumentsPage() {
  useTitle("Documents");
  const query = useDocuments();
  return (
    <Page>
      <PageHead title="Documents">
        <NewDocument />
      </PageHead>
      <Loaded query={query} what="the documents">
        {({ documents }) =>
          documents.length === 0 ? (
            <Notice icon="file" title="No documents yet">
              <p>
                Templates, policies and sites appear here as soon as a draft holds them. Begin with “New document”, or send files
                with <code>plantgate apply -f FOLDER</code>.
              </p>
            </Notice>
          ) : (
            <List documents={documents} />
          )
        }
      </Loaded>
    </Page>
  );
}

function NewDocument() {
  const [, navigate] = useLocation();
  const mayWrite = useHasRole("engineer");
  if (!mayWrite) return <p className="quiet to-the-right">Writing documents takes the role engineer.</p>;
  return (
    <Menu position="bottom-end" width={360} transitionProps={{ duration: 0 }}>
      <Menu.Target>
        <Button className="to-the-right" leftSection={<Icon name="plus" size={14} />}>
          New document
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {kinds.map((kind) => (
          <Menu.Item key={kind} onClick={() => navigate(`/documents/new?kind=${kind}`)}>
            <b>{kind}</b>
            <span className="tiny menu-words">{kindWords[kind]}</span>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function List({ documents }: { readonly documents: readonly DocumentSummary[] }) {
  const [kind, setKind] = useUrlState("kind");
  const [environment, setEnvironment] = useUrlState("environment");
  const [text, setText] = useUrlState("q");
  const wanted = text.trim().toLowerCase();
  const environments = [
    ...new Set([...environmentOrder, ...documents.flatMap((document) => Object.keys(document.environments))]),
  ];
  const shown = documents
    .filter(
      (document) =>
        (kind === "" || document.kind === kind) &&
        (environment === "" || document.environments[environment] !== undefined) &&
        (wanted === "" ||
          [document.name, document.owner, document.purpose, ...Object.values(document.labels)].some((word) =>
            word.toLowerCase().includes(wanted),
          )),
    )
    .sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || a.name.localeCompare(b.name));
  return (
    <>
      <search className="filters" aria-label="Narrow the list of documents">
        <NarrowText name="Name, owner, purpose or label" value={text} onChange={setText} />
        <NarrowChoice name="Kind" choices={kinds} value={kind} onChange={setKind} />
        <NarrowChoice name="In force in" choices={environments} value={environment} onChange={setEnvironment} />
      </search>
      {shown.length === 0 ? (
        <Empty>
          <p>No document is like this.</p>
        </Empty>
      ) : (
        <Grid name="Documents" columns={["Document", "Purpose", "Owner", "In force", "Newest"]}>
          {shown.map((document) => (
            <tr key={`${document.kind}/${document.name}`}>
              <th scope="row">
                <span className="kind">{document.kind}</span>
                <Link href={documentPath(document.kind, document.name)}>{document.name}</Link>
              </th>
              <td className="words">{document.purpose}</td>
              <td>{document.owner}</td>
              <td>
                <InForce environments={document.environments} newest={document.revision} />
              </td>
              <td>
                <b>{document.revision}</b>{" "}
                <span className="tiny">
                  <When at={document.changedAt} /> by {document.changedBy}
                </span>
              </td>
            </tr>
          ))}
        </Grid>
      )}
    </>
  );
}

/** `dev 4 · test 3`: where an older revision than the newest one is in force, it is said. */
export function InForce({
  environments,
  newest,
}: {
  readonly environments: Readonly<Record<string, number>>;
  readonly newest: number;
}) {
  const entries = Object.entries(environments).sort(([a], [b]) => compareEnvironments(a, b));
  if (entries.length === 0) return <span className="quiet">nowhere yet</span>;
  return (
    <span className="in-force">
      {entries.map(([name, revision]) => (
        <span key={name} className="in-force-one" title={revision < newest ? `An older revision than ${newest}` : undefined}>
          <Environment name={name} /> {revision}
          {revision < newest && <span className="tiny"> of {newest}</span>}
        </span>
      ))}
    </span>
  );
}
