import { Tabs } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import type { ChangeView } from "../../http/api/changes.ts";
import { useChange, useChangeDiff } from "../api/configuration.ts";
import { ProblemList } from "../documents/problems.tsx";
import { Badge, Environment } from "../parts/badge.tsx";
import { Icon } from "../parts/icon.tsx";
import { Fact, Loaded, Page, PageHead } from "../parts/page.tsx";
import { useTitle } from "../parts/title.ts";
import { useUrlState } from "../parts/url-state.ts";
import { When } from "../parts/when.tsx";
import { CarriedRelease } from "../releases/carried.tsx";
import { ChangedDocuments } from "./changed-documents.tsx";
import { ChangedSites } from "./changed-sites.tsx";
import { Expedited } from "./changes-page.tsx";
import { Conversation } from "./conversation.tsx";
import { Decisions } from "./decisions.tsx";
import { DryRuns } from "./dry-runs.tsx";
import { Examples } from "./examples.tsx";
import { changeLooks } from "./looks.ts";
import { ReadContext } from "./read-context.ts";
import { StrategyFacts } from "./strategy.tsx";
import { TitleDialog } from "./title-dialog.tsx";

/** Everything that a second person needs to say yes or no: what changes in the documents, what that makes of each site, what it would do. */
export function ChangePage({ number }: { readonly number: number }) {
  const query = useChange(number);
  useTitle(query.data ? `${number} ${query.data.answer.title}` : `Change ${number}`);
  return (
    <Page>
      <Loaded query={query} what={`change ${number}`} whole>
        {(change) => <Shown change={change} />}
      </Loaded>
    </Page>
  );
}

const views = ["documents", "sites", "examples", "dry-run", "conversation"] as const;

function Shown({ change }: { readonly change: ChangeView }) {
  const [asked, setAsked] = useUrlState("view");
  const [titling, setTitling] = useState(false);
  // what stood here when the page opened is what one has read; another content is to be looked at before it is decided on
  const [read, setRead] = useState(change.digest);
  const unread = read !== change.digest;
  const view = views.find((name) => name === asked) ?? "documents";
  const diff = useChangeDiff(change.number, change.version);
  const answer = diff.data?.answer;
  const failing = answer?.examples.filter(({ ok }) => !ok).length ?? 0;
  const sitesWithProblems = answer?.sites.filter(({ problems }) => problems.length > 0).length ?? 0;
  const said = change.events.filter(({ kind }) => kind === "commented").length;
  return (
    <ReadContext value={setRead}>
      <PageHead title={change.title} above={<Link href="/changes">Changes</Link>}>
        <span className="quiet">No. {change.number}</span>
        <Badge look={changeLooks[change.state]} />
        <Environment name={change.environment} />
        {change.expedited && <Expedited />}
        {change.state === "draft" && change.may.edit?.allowed && (
          <button type="button" className="link" onClick={() => setTitling(true)}>
            Edit the title
          </button>
        )}
      </PageHead>
      {titling && <TitleDialog change={change} onClose={() => setTitling(false)} />}
      {unread && (
        <p className="old-answer" role="alert">
          <Icon name="warning" size={16} />
          <span>
            It was edited since you opened this page; below is what it carries now.{" "}
            <button type="button" className="link" onClick={() => setRead(change.digest)}>
              I have read it
            </button>
          </span>
        </p>
      )}
      <div className="change-layout">
        <div className="change-main">
          <dl className="facts">
            <Fact name="Author">{change.author}</Fact>
            <Fact name="Written">
              <When at={change.createdAt} />
            </Fact>
            <Fact name="Last">
              <When at={change.updatedAt} />
            </Fact>
            {change.promotedFrom !== null && (
              <Fact name="Promoted from">
                <Link href={`/changes/${change.promotedFrom}`}>Change {change.promotedFrom}</Link>
              </Fact>
            )}
            {change.rollout !== null && (
              <Fact name="Rollout">
                <Link href={`/rollouts/${change.rollout}`}>Rollout {change.rollout}</Link>
              </Fact>
            )}
            <Fact name="Digest">
              <span className="mono tiny" title={change.digest}>
                {change.digest.slice(0, 16)}
              </span>
            </Fact>
          </dl>
          {change.description !== "" && <p className="description">{change.description}</p>}
          {change.reason !== null && (
            <p className="warning-line">
              <Icon name="warning" size={14} /> {change.reason}
            </p>
          )}
          {change.reviewDueSince !== null && (
            <p className="warning-line">
              <Icon name="bolt" size={14} /> It was expedited: a third person has to review it, since{" "}
              <When at={change.reviewDueSince} />.
            </p>
          )}
          <StrategyFacts change={change} />
          {change.problems.length > 0 && (
            <section className="problems card" aria-label="Problems">
              <p className="problems-state" data-tone="bad">
                <Icon name="cross" size={14} /> It cannot be submitted like this:
              </p>
              <ProblemList problems={change.problems} />
            </section>
          )}
        </div>
        <Decisions change={change} read={read} />
      </div>
      {change.release === null ? (
        <Tabs value={view} onChange={(next) => setAsked(next === "documents" ? "" : (next ?? ""))} keepMounted={false}>
          <Tabs.List aria-label="About this change">
            <Tabs.Tab value="documents">Documents {change.documents.length}</Tabs.Tab>
            <Tabs.Tab value="sites">
              Sites {answer?.sites.length ?? ""}
              {sitesWithProblems > 0 && <span className="tab-bad"> {sitesWithProblems} with problems</span>}
            </Tabs.Tab>
            <Tabs.Tab value="examples">
              Examples {answer?.examples.length ?? ""}
              {failing > 0 && <span className="tab-bad"> {failing} failing</span>}
            </Tabs.Tab>
            <Tabs.Tab value="dry-run">Dry run</Tabs.Tab>
            <Tabs.Tab value="conversation">Conversation {said > 0 ? said : ""}</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="documents" pt="md">
            <Loaded query={diff} what="what changes in the documents" rows={2}>
              {(changes) => <ChangedDocuments change={change} documents={changes.documents} />}
            </Loaded>
          </Tabs.Panel>
          <Tabs.Panel value="sites" pt="md">
            <Loaded query={diff} what="what it makes of the sites" rows={2}>
              {(changes) => <ChangedSites sites={changes.sites} />}
            </Loaded>
          </Tabs.Panel>
          <Tabs.Panel value="examples" pt="md">
            <Loaded query={diff} what="what the examples came to" rows={2}>
              {(changes) => <Examples examples={changes.examples} />}
            </Loaded>
          </Tabs.Panel>
          <Tabs.Panel value="dry-run" pt="md">
            <Loaded query={diff} what="the sites that it reaches" rows={1}>
              {(changes) => <DryRuns change={change.number} sites={changes.sites.map(({ site }) => site)} />}
            </Loaded>
          </Tabs.Panel>
          <Tabs.Panel value="conversation" pt="md">
            <Conversation change={change} />
          </Tabs.Panel>
        </Tabs>
      ) : (
        <>
          <CarriedRelease change={change} />
          <h2 className="section-title">Conversation</h2>
          <Conversation change={change} />
        </>
      )}
    </ReadContext>
  );
}
