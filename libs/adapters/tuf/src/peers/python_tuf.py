"""TUF's reference implementation, on both sides: follows a repository of ours, or makes one that we follow.

follow URL ROOT DIR PATH...   refreshes twice into DIR, prints what it knows of each target path as JSON
make DIR TARGETS              writes a repository with three roots into DIR; TARGETS is JSON: path -> {length, sha256, custom}
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile, Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater

ROLES = ("targets", "snapshot", "timestamp")


def follow(url: str, root: str, directory: str, *paths: str) -> None:
    found = {}
    for _ in range(2):
        updater = Updater(metadata_dir=directory, metadata_base_url=url, bootstrap=Path(root).read_bytes())
        updater.refresh()
        for path in paths:
            target = updater.get_targetinfo(path)
            found[path] = target and {"length": target.length, "hashes": target.hashes, "custom": target.custom}
    print(json.dumps(found))


def make(directory: str, targets: str) -> None:
    out = Path(directory)
    expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=2)
    holders = [CryptoSigner.generate_ed25519() for _ in range(4)]
    online = {role: CryptoSigner.generate_ed25519() for role in ROLES}

    root = Root(version=1, expires=expires, consistent_snapshot=True)
    for holder in holders[:3]:
        root.add_key(holder.public_key, "root")
    root.roles["root"].threshold = 2
    for role, signer in online.items():
        root.add_key(signer.public_key, role)

    def write_root(signers) -> None:
        metadata = Metadata(root)
        for signer in signers:
            metadata.sign(signer, append=True)
        metadata.to_file(str(out / f"{root.version}.root.json"))

    write_root(holders[:2])
    # A holder leaves and another comes; then the timestamp's key changes.
    root.version = 2
    root.revoke_key(holders[0].public_key.keyid, "root")
    root.add_key(holders[3].public_key, "root")
    write_root([*holders[:2], holders[3]])
    root.version = 3
    root.revoke_key(online["timestamp"].public_key.keyid, "timestamp")
    online["timestamp"] = CryptoSigner.generate_ed25519()
    root.add_key(online["timestamp"].public_key, "timestamp")
    write_root(holders[2:])

    def write(signed, role: str, name: str) -> MetaFile:
        metadata = Metadata(signed)
        metadata.sign(online[role])
        content = metadata.to_bytes()
        (out / name).write_bytes(content)
        return MetaFile.from_data(signed.version, content, ["sha256"])

    listed = Targets(version=5, expires=expires)
    for path, entry in json.loads(targets).items():
        extra = {"custom": entry["custom"]}
        listed.targets[path] = TargetFile(entry["length"], {"sha256": entry["sha256"]}, path, extra)
    named = write(listed, "targets", "5.targets.json")
    named = write(Snapshot(version=6, expires=expires, meta={"targets.json": named}), "snapshot", "6.snapshot.json")
    write(Timestamp(version=7, expires=expires, snapshot_meta=named), "timestamp", "timestamp.json")


{"follow": follow, "make": make}[sys.argv[1]](*sys.argv[2:])
