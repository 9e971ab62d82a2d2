"""What docs/accounts.md tells people to type works, in that order."""

import re
import subprocess

from harness import paths
from harness.cyand import clean_environment


def test_the_page_works(cyand):
    page = (paths.ROOT / "docs" / "accounts.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines() if line]
    assert len(lines) >= 9
    env = {**clean_environment(), "CYAN_STORE_POSTGRES": cyand.postgres.conninfo(cyand.database),
           "CYAN_URL": f"http://127.0.0.1:{cyand.http_port}", "PATH": f"{paths.CYAND.parent}:/usr/bin:/bin"}
    for line in lines:
        script = f'auth="Authorization: Bearer {cyand.rest().token}"\n' + line.replace("curl ", "curl -fsS ")
        result = subprocess.run(["bash", "-e", "-c", script], env=env, input="correct horse\n", capture_output=True,
                                text=True, timeout=60)
        assert result.returncode == 0 and result.stdout, f"{line}: {result}"
