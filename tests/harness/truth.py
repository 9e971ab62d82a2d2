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
