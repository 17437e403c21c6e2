"""The judge itself: each fault is found, and only it."""

import tempfile
import unittest
from pathlib import Path

from . import verify

PRODUCED = ["A 0 0 10", "A 0 1 11", "A 0 2 12", "A 1 0 5"]
CONSUMED = ["C 0 10 k:0:0", "C 0 11 k:0:1", "C 0 12 k:0:2", "C 1 5 k:1:0"]


def faults(produced=PRODUCED, consumed=CONSUMED, idempotent=True, unanswered=()):
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "p", Path(folder) / "c"
        for path, lines in zip(paths, (produced, consumed)):
            path.write_text("".join(line + "\n" for line in lines))
        return verify.verify({"k": paths[0]}, [paths[1]], unanswered).faults(idempotent)


class VerifyTest(unittest.TestCase):
    def test_clean(self):
        self.assertEqual(faults(), {})

    def test_reread_is_no_fault(self):
        self.assertEqual(faults(consumed=CONSUMED + CONSUMED[1:]), {})

    def test_only_acks_0_is_told_no_offset(self):
        untold = ["A 0 0 -1"] + PRODUCED[1:]
        self.assertEqual(faults(produced=untold), {"without_offset": 1})
        self.assertEqual(faults(produced=untold, unanswered=["k"]), {})

    def test_the_complaint_names_producer_and_record(self):
        verdict = verify.judge({"k": {(0, 7): -1}}, {(0, 3): "k:0:7"}, verify.Verdict())
        self.assertEqual(verdict.examples["without_offset"], ["k:0:7 acknowledged without an offset"])

    def test_what_a_library_did_not_ask_for_is_no_fault(self):
        self.assertEqual(faults(produced=["A 0 0 -2"] + PRODUCED[1:]), {})

    def test_lost(self):
        self.assertEqual(faults(consumed=CONSUMED[:2] + CONSUMED[3:]), {"lost": 1})

    def test_lost_in_the_middle_leaves_a_gap(self):
        self.assertEqual(faults(consumed=CONSUMED[:1] + CONSUMED[2:]), {"lost": 1, "gaps": 1})

    def test_duplicated(self):
        again = CONSUMED + ["C 0 13 k:0:2"]
        self.assertEqual(faults(consumed=again), {"duplicated": 1})
        self.assertEqual(faults(consumed=again, idempotent=False), {})

    def test_out_of_order(self):
        swapped = ["C 0 10 k:0:0", "C 0 11 k:0:2", "C 0 12 k:0:1", "C 1 5 k:1:0"]
        self.assertEqual(
            faults(produced=["A 0 0 10", "A 0 1 12", "A 0 2 11", "A 1 0 5"], consumed=swapped), {"out_of_order": 1}
        )

    def test_wrong_offset(self):
        self.assertEqual(faults(produced=["A 0 0 10", "A 0 1 11", "A 0 2 99", "A 1 0 5"]), {"wrong_offset": 1})

    def test_two_at_one_offset(self):
        self.assertIn("two_at_one_offset", faults(consumed=CONSUMED + ["C 0 10 k:0:7"]))

    def test_errors_on_both_sides(self):
        self.assertEqual(
            faults(produced=PRODUCED + ["F 0 3 why", "E why"], consumed=CONSUMED + ["E other"]),
            {"failed": 1, "errors": 2},
        )

    def test_a_line_still_being_written_is_not_read(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("A 0 0 1\nA 0 1 1")
            file.flush()
            self.assertEqual(list(verify.lines(file.name)), ["A 0 0 1"])


if __name__ == "__main__":
    unittest.main()
