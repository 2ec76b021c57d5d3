"""Faults that can be planted, with real means, and healed.

A fault is a class with a kind, its arguments as help shows them, and plant() and heal(). To add
one: write the class into the file of its family, and put it into KINDS.
"""

from . import canreach, mesh, paths, records, targets

KINDS = {fault.kind: fault for fault in (
    paths.Drop, paths.Allow, paths.Egress, paths.Ingress, paths.Nacl, paths.Blackhole, paths.Hidden, paths.DnsOff,
    paths.Ephemeral, paths.Isolate, paths.Lost,
    paths.Refuse, paths.Reset, paths.Reject, paths.Block, paths.Throttle, paths.Loss, paths.Mtu, paths.Nat, paths.Route,
    targets.Stop, targets.Loop, targets.Starting, targets.Hang, targets.Overload, targets.Bound, targets.Port,
    targets.Revision, targets.Queue, targets.Health, targets.Dependency, targets.Certificate, targets.Plain,
    records.Stale, records.Reused, records.Many, records.Unregister, records.Unlisted, records.Alias, records.Missing,
    records.Aaaa, records.Ttl, records.Zones, records.Negative, records.Dns, records.SlowDns, records.Resolver,
    mesh.Connect, mesh.Newer,
    canreach.Kill, canreach.Leave, canreach.Pause, paths.Cut, canreach.Old, canreach.Narrow, canreach.DiskFull)}


def usage():
    return "\n".join(f"  {fault.kind + ' ' + fault.arguments:<28} {fault.summary}" for fault in KINDS.values())
