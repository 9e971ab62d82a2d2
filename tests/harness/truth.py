"""What the simulated devices know, against what the server says of it."""


def check_report(report, handshakes):
    """No handshake but those, no session lost, nothing a device would choke on; and what cyan-swarm watches for in every
    record: no sequence number twice under one key, and no answer to a recording."""
    shown = {key: value for key, value in report.items() if key != "handshakes_by_device"}
    assert report["handshakes_ok"] == handshakes and not report["sessions_lost"], shown
    assert not report["protocol_errors"], shown
    assert report["nonce_reuse"] == 0 and report["replay_answered"] == 0, shown


def check_ticks(cyand, *swarms):
    """Every event the server acknowledged is stored, and none twice."""
    acked = {(line["device"], line["data"]) for swarm in swarms for line in swarm.ledger() if line["name"] == "swarm/tick"}
    rows = [tuple(row) for row in cyand.query("SELECT encode(device_id, 'hex'), convert_from(data, 'UTF8') FROM event"
                                              " WHERE name = 'swarm/tick'")]
    assert acked, "nothing was acknowledged"
    assert acked <= set(rows), f"{len(acked - set(rows))} acknowledged events are not stored"
    assert len(rows) == len(set(rows)), f"{len(rows) - len(set(rows))} events were stored twice"


def check_updates(swarm, applied):
    """After the end of the swarm. applied: {device: {"s1": 6200, ...}}, what it was to get, and got, each once; nobody applied
    anything else, or what it ran already. Returns what each device says of itself at the end."""
    ends = {line["device"]: line for line in swarm.truth("end")}
    assert ends, "no device says what became of it"
    for device, end in ends.items():
        times = {(a["f"] + a["n"], a["v"]): (a["times"], a["redundant"]) for a in end["applied"]}
        assert times == {item: (1, 0) for item in applied.get(device, {}).items()}, end
    return ends
