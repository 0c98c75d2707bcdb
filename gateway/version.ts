/** The version of this program, as it says it to central and in `--version`; equal to package.json's (a test holds it). */
export const version = "0.1.0";
