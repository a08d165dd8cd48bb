"""What became of the tests of a suite: a table, and JUnit's XML."""
import collections
import dataclasses
import xml.etree.ElementTree as xml

PASSED, FAILED, MISSING, DISABLED, LARGE = "passed", "FAILED", "not available", "disabled", "too many ranks"


@dataclasses.dataclass
class Result:
    test: object
    state: str
    seconds: float = 0
    why: str = ""
    output: str = ""  # of what failed


def table(results):
    width = max(len(result.test.name) for result in results)
    lines = [f"{'test':<{width}}  ranks  {'result':<14}  seconds"]
    for r in results:
        why = f"  {r.why}" if r.why else ""
        lines.append(f"{r.test.name:<{width}}  {r.test.ngpu:>5}  {r.state:<14}  {r.seconds:>7.1f}{why}".rstrip())
    return "\n".join(lines)


def summary(suite, results):
    count = collections.Counter(result.state for result in results)
    parts = [f"{count[state]} {state}" for state in (PASSED, FAILED, MISSING, DISABLED, LARGE) if count[state]]
    return f"{suite.name}: of {len(results)} tests {', '.join(parts)}; {sum(r.seconds for r in results):.0f} s"


def junit(suite, results):
    root = xml.Element("testsuite", name=suite.name, tests=str(len(results)),
                       failures=str(sum(r.state == FAILED for r in results)),
                       skipped=str(sum(r.state in (MISSING, DISABLED, LARGE) for r in results)),
                       time=f"{sum(r.seconds for r in results):.3f}")
    for r in results:
        case = xml.SubElement(root, "testcase", classname=suite.name, name=r.test.name, time=f"{r.seconds:.3f}")
        if r.state == FAILED:
            xml.SubElement(case, "failure", message=r.why).text = printable(r.output)
        elif r.state != PASSED:
            xml.SubElement(case, "skipped", message=printable(f"{r.state}: {r.why}"))
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def printable(text):
    """XML has no place for control characters."""
    return "".join(c for c in text if c in "\n\t" or c >= " ")
