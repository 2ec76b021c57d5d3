"""deploy/demo, as a new user runs it: it ends with 0, and says what it found."""

import os
import unittest

from harness import BIN, ROOT, main, run


class Demo(unittest.TestCase):
    def test_demo(self):
        result = run(os.path.join(ROOT, "deploy", "demo"), timeout=280,
                     env={"CANREACH_BIN": BIN, "CANREACH_LOCAL_DIR": f"/tmp/crl-demo-{os.getpid()}"})
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("web -> payments: fail, 4 of 4 endpoints failed", result.stdout)
        self.assertIn("no answer to the connection attempt (time-out)", result.stdout)
        self.assertIn("connection refused", result.stdout)
        self.assertIn("Found exactly what was planted.", result.stdout)
        self.assertFalse(os.path.exists(f"/tmp/crl-demo-{os.getpid()}"))


if __name__ == "__main__":
    main()
