"""A node that is killed at random moments of a campaign: each device gets each module once, and what the server says of it is
what the device knows. CYAN_TEST_ROUNDS says how many times, and then for a fleet to match; tests/soak campaign does it."""

import random
import signal
import time

import pytest

from harness.mixed_fleet import LOSSY_PART, LOST_BYTES, MixedFleet
from harness.rollout import EASY, QUICK, Rollout
from harness.rounds import rounds
from harness.waiting import wait_until

FEW, MANY = 4, 60
LIMITS = {"transfers": 50, "disruption": 50, "start_per_min": 6000}


@pytest.mark.long
def test_a_node_that_is_killed_all_the_time(new_cyand, new_swarm, redis):
    kills = rounds(FEW)
    cyand = new_cyand(**QUICK, **redis.settings)
    is_few = kills < MANY
    # a network that loses a little, so that there is something to send twice
    fleet = MixedFleet(cyand, new_swarm, 10 if is_few else 100, loss=1)
    rollout = Rollout(cyand)
    rollout.release("all", fleet.wanted())
    stages = [{"name": "most", "percent": 60, "gate": EASY}, {"name": "all", "percent": 100, "gate": EASY}]
    campaign = rollout.start("killed", "all", {"platform_id": fleet.platforms}, stages[is_few:], limits=LIMITS)

    # The moments are bytes of what has to be sent, so they are all before the end, and then a little later: while devices check
    # files, boot and describe themselves, or while the node that was started last is not yet known to anybody.
    picked = random.Random(kills)
    moments = sorted(picked.uniform(0, 0.9) * fleet.bytes() for _ in range(kills))
    killed_ms, states = [], {}
    for moment in moments:
        wait_until(lambda: fleet.received_bytes() >= moment,
                   lambda: f"the campaign goes on: {fleet.received_bytes()} bytes of {moment:.0f}, {rollout.read(campaign)['stages']}"
                           f" {rollout.states(campaign)} {steps(cyand)} {cyand.log(30)}", deadline_s=180)
        time.sleep(picked.uniform(0, 1.5))
        found = rollout.read(campaign)
        assert found["state"] == "running", found
        killed_ms.append(time.time() * 1000)
        cyand.restart_on_same_ports(signal.SIGKILL)
        print(f"{time.strftime('%H:%M:%S')} kill {len(killed_ms)} of {kills} at {moment:.0f} bytes: {dict(rollout.states(campaign))}",
              flush=True)
        for state, count in steps(cyand).items():
            states[state] = states.get(state, 0) + count
    done = rollout.wait(campaign, "completed", deadline_s=300)

    assert done["verdict"]["ok"] == len(fleet.kind), done
    rollout.check_books()
    fleet.check_update_states(campaign)
    report = fleet.check_ends()
    twice = fleet.sent_twice(killed_ms)
    too_much = {key: (sent, hits) for key, (sent, hits) in twice.items() if sent > LOST_BYTES * hits + LOSSY_PART * key[2]}
    print(f"\n{kills} kills, {len(fleet.kind)} devices, {fleet.bytes()} bytes to send; sent twice: {sum(t for t, _ in twice.values())}"
          f" bytes, at most {max(t / max(hits, 1) for t, hits in twice.values()):.0f} of a file for each kill that hit it"
          f" ({sum(hits for _, hits in twice.values())} transfers hit); steps found after kills: {states};"
          f" handshakes {report['handshakes_ok']}, sessions lost {report['sessions_lost']}")
    assert not too_much, too_much
    assert not report["protocol_errors"] and report["nonce_reuse"] == 0, report


def steps(cyand):
    """How many steps are under way in which state."""
    rows = cyand.query("SELECT state, count(*) FROM update_step WHERE state IN ('ready', 'claimed', 'starting', 'transferring',"
                       " 'finishing', 'rebooting', 'describing', 'backoff') GROUP BY 1")
    return {state: int(count) for state, count in rows}
