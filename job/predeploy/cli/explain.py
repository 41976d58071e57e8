"""`predeploy explain WHAT`: an exit code, or a rule of lint by any of its names."""

from predeploy.contract.errors import JobError
from predeploy.contract.exit_codes import ExitCode
from predeploy.sql.rules import RULES, Rule


def explain(what: str) -> ExitCode:
    """Print what is meant by an exit code, its label or a rule; all exit codes for an empty text.

    Raises JobError (64) for anything else.
    """
    known = {name: code for code in ExitCode for name in (str(int(code)), code.label)}
    rules = [rule for rule in RULES if what in (rule.name, *rule.aliases)]
    if not what or what in known:
        print("\n".join(map(_of_code, [known[what]] if what else ExitCode)))
    elif rules:
        print("\n".join(map(_of_rule, rules)))
    else:
        raise JobError(
            f"{what!r} is neither an exit code nor a rule; `predeploy explain` lists the "
            "exit codes, docs/rules.md the rules; see `predeploy --help`",
            exit_code=ExitCode.USAGE,
        )
    return ExitCode.OK


def _of_code(code: ExitCode) -> str:
    again = "; may pass when run again" if code.is_retryable else ""
    return f"{int(code):>3} {code.label}{again}: {code.explanation}"


def _of_rule(rule: Rule) -> str:
    locks = f"\n  lock: {rule.lock}; {rule.waits} wait" if rule.lock else ""
    also = f"\n  elsewhere: {', '.join(rule.aliases)}" if rule.aliases else ""
    examples = (
        f"{word}\n    " + text.replace("\n", "\n    ")
        for word, text in (("found:", rule.bad), ("not found:", rule.good))
    )
    said = "\n  ".join(examples)
    return f"{rule.name} ({rule.severity.value}): {rule.why}{locks}{also}\n  {said}"
