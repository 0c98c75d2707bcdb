/**
 * Errors of PostgreSQL, as psycopg2 2.9 names them, that come from the statement: it fails the same way each time. By psycopg2's own classes,
 * which follow SQLSTATE (PostgreSQL's manual, appendix A).
 */
const ofTheStatement = new Set(
  `
  ProgrammingError
  AmbiguousAlias AmbiguousColumn AmbiguousFunction AmbiguousParameter CannotCoerce CardinalityViolation CaseNotFound
  CollationMismatch DatatypeMismatch DuplicateAlias DuplicateColumn DuplicateCursor DuplicateDatabase DuplicateFunction
  DuplicateObject DuplicatePreparedStatement DuplicateSchema DuplicateTable GeneratedAlways GroupingError
  IndeterminateCollation IndeterminateDatatype InsufficientPrivilege InvalidCatalogName InvalidColumnDefinition
  InvalidColumnReference InvalidCursorDefinition InvalidDatabaseDefinition InvalidForeignKey InvalidFunctionDefinition
  InvalidName InvalidObjectDefinition InvalidPreparedStatementDefinition InvalidRecursion InvalidSchemaDefinition
  InvalidSchemaName InvalidTableDefinition NameTooLong ReservedName SyntaxError SyntaxErrorOrAccessRuleViolation
  UndefinedColumn UndefinedFunction UndefinedObject UndefinedParameter UndefinedTable WindowingError
  WithCheckOptionViolation WrongObjectType

  DataError
  ArraySubscriptError BadCopyFileFormat CharacterNotInRepertoire DataException DatetimeFieldOverflow DivisionByZero
  DuplicateJsonObjectKeyValue ErrorInAssignment EscapeCharacterConflict FloatingPointException IndicatorOverflow
  IntervalFieldOverflow InvalidArgumentForLogarithm InvalidArgumentForNthValueFunction InvalidArgumentForNtileFunction
  InvalidArgumentForPowerFunction InvalidArgumentForSqlJsonDatetimeFunction InvalidArgumentForWidthBucketFunction
  InvalidBinaryRepresentation InvalidCharacterValueForCast InvalidDatetimeFormat InvalidEscapeCharacter InvalidEscapeOctet
  InvalidEscapeSequence InvalidIndicatorParameterValue InvalidJsonText InvalidParameterValue
  InvalidPrecedingOrFollowingSize InvalidRegularExpression InvalidRowCountInLimitClause
  InvalidRowCountInResultOffsetClause InvalidSqlJsonSubscript InvalidTablesampleArgument InvalidTablesampleRepeat
  InvalidTextRepresentation InvalidTimeZoneDisplacementValue InvalidUseOfEscapeCharacter InvalidXmlComment
  InvalidXmlContent InvalidXmlDocument InvalidXmlProcessingInstruction MoreThanOneSqlJsonItem MostSpecificTypeMismatch
  NoSqlJsonItem NonNumericSqlJsonItem NonUniqueKeysInAJsonObject NonstandardUseOfEscapeCharacter NotAnXmlDocument
  NullValueNoIndicatorParameter NullValueNotAllowed NumericValueOutOfRange SequenceGeneratorLimitExceeded
  SingletonSqlJsonItemRequired SqlJsonArrayNotFound SqlJsonItemCannotBeCastToTargetType SqlJsonMemberNotFound
  SqlJsonNumberNotFound SqlJsonObjectNotFound SqlJsonScalarRequired StringDataLengthMismatch StringDataRightTruncation
  SubstringError TooManyJsonArrayElements TooManyJsonObjectMembers TrimError UnterminatedCString UntranslatableCharacter
  ZeroLengthCharacterString

  IntegrityError
  CheckViolation ExclusionViolation ForeignKeyViolation IntegrityConstraintViolation NotNullViolation RestrictViolation
  UniqueViolation

  NotSupportedError FeatureNotSupported

  ProgramLimitExceeded StatementTooComplex TooManyArguments TooManyColumns

  AssertFailure NoDataFound PlpgsqlError RaiseException TooManyRows TriggeredActionException
  `
    .trim()
    .split(/\s+/),
);

/**
 * Whether an error that Odoo names says that its database, or its memory, failed: then it is not known what became of the call, as a
 * connection may also end between a commit and its confirmation.
 */
export function isServerFailure(name: string): boolean {
  if (name === "builtins.MemoryError") return true;
  return name.startsWith("psycopg2.") && !ofTheStatement.has(name.slice(name.lastIndexOf(".") + 1));
}
