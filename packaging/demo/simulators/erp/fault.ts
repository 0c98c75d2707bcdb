/**
 * An error as the simulated ERP answers it: an HTTP status and the Python class that Odoo names in the body. Not a `PlantgateError`:
 * these are another system's errors, and its clients branch on `status` and `className`.
 */
export class ErpFault extends Error {
  readonly status: 400 | 401 | 403 | 404 | 422 | 500;
  readonly className: string;

  constructor(status: ErpFault["status"], className: string, message: string) {
    super(message);
    this.name = "ErpFault";
    this.status = status;
    this.className = className;
  }
}

export const userError = (message: string): ErpFault => new ErpFault(422, "odoo.exceptions.UserError", message);
export const validationError = (message: string): ErpFault => new ErpFault(422, "odoo.exceptions.ValidationError", message);
export const accessError = (message: string): ErpFault => new ErpFault(403, "odoo.exceptions.AccessError", message);
export const unprocessable = (message: string): ErpFault => new ErpFault(422, "werkzeug.exceptions.UnprocessableEntity", message);
export const notFound = (message: string): ErpFault => new ErpFault(404, "werkzeug.exceptions.NotFound", message);
/** A caller's own mistake: Odoo answers 500 for it, which is why 500 does not mean "try again". */
export const valueError = (message: string): ErpFault => new ErpFault(500, "builtins.ValueError", message);
export const missingError = (model: string, id: number): ErpFault =>
  new ErpFault(
    404,
    "odoo.exceptions.MissingError",
    `Record does not exist or has been deleted.\n(Record: ${model}(${id},), User: 5)`,
  );
