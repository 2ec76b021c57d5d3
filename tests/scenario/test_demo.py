"""deploy/demo, as a new user runs it: it ends with 0, and says what it found."""

import os
import unittest

from harness import BIN, ROOT, main, run


class Demo(unittest.TestCase):
    def test_demo(self):
        result = run(os.path.join(ROOT, "deploy", "demo"), timeout=280,
                     env={"CANREACH_BIN": BIN, "CANREACH_LOCAL_DIR": f"/tmp/crl-demo-{os.getpid()}"})
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertRegex(result.stdout, r"security group ingress: sg-\w+ \(payments\) has no rule for tcp 8080 from sg-\w+ \(web\)")
        self.assertRegex(result.stdout, r"ingress rule sgr-\w+ removed: tcp 8080 from sg-\w+ \(web\); by platform-admin at ")
        self.assertIn("payments.1 saw nothing of web.1 arrive", result.stdout)
        self.assertIn("nothing listens on port 8080 of api.2", result.stdout)
        self.assertIn("fix: Allow port 8080 in the security group of payments, from that of web", result.stdout)
        self.assertRegex(result.stdout, r"api +2 +2/2, 1 unhealthy +completed")
        self.assertIn("gate 1 of payments, deployment build-1: pass\n", result.stdout)
        self.assertIn("gate 2 of payments, deployment build-2: fail\n", result.stdout)
        self.assertIn("at its end: succeeded; the pairs are mended: yes\n", result.stdout)
        self.assertIn("Found exactly what was planted.", result.stdout)
        self.assertFalse(os.path.exists(f"/tmp/crl-demo-{os.getpid()}"))


if __name__ == "__main__":
    main()
