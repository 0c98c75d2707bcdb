import { Button, Select } from "@mantine/core";
import { useState } from "react";
import { useMakeEnrollmentToken } from "../api/fleet.ts";
import { Copied } from "../parts/copied.tsx";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { Until } from "../parts/when.tsx";

const lives = [
  { value: "3600", label: "1 hour" },
  { value: "28800", label: "8 hours" },
  { value: "86400", label: "1 day" },
  { value: "259200", label: "3 days, the longest" },
];

interface EnrollmentDialogProps {
  readonly site: string;
  readonly opened: boolean;
  readonly onClose: () => void;
}

/** Makes a token that enrolls one gateway for this site, once. It is shown here and never again. */
export function EnrollmentDialog({ site, opened, onClose }: EnrollmentDialogProps) {
  const [life, setLife] = useState("3600");
  const make = useMakeEnrollmentToken(site);
  const close = () => {
    make.reset();
    onClose();
  };
  return (
    <Dialog title={`Enroll a gateway for ${site}`} opened={opened} onClose={close} size={640}>
      {make.data ? (
        <div className="dialog-form">
          <p>
            On the plant's server, until <Until at={make.data.expiresAt} />:
          </p>
          <Copied
            what="Command to enroll"
            text={`plantgate enroll --data /var/lib/plantgate/${site} --central ${location.origin} --token ${make.data.token}`}
          />
          <p className="quiet">
            <code>--data</code> names the folder that the gateway owns. The token works once and only for {site}. It is shown now
            and never again. Afterwards the gateway's key appears in the list; confirm it by its fingerprint.
          </p>
          <div className="dialog-buttons">
            <Button data-autofocus onClick={close}>
              Done
            </Button>
          </div>
        </div>
      ) : (
        <DialogForm
          act="Make the token"
          doing="make a token"
          busy={make.isPending}
          error={make.error}
          onCancel={close}
          onSubmit={() => make.mutate(Number(life))}
        >
          <Select
            label="It can be used for"
            data={lives}
            value={life}
            allowDeselect={false}
            onChange={(value) => setLife(value ?? "3600")}
          />
        </DialogForm>
      )}
    </Dialog>
  );
}
