"""The artifact store: the only room that writes files.

An artifact is a folder named by the fingerprint of everything that went into it. It is built in a work folder, sealed
with the SHA-256 of every file, flushed to disk and published by one rename, so that a reader sees all of it or none.
Readers verify the hashes; a damaged artifact is set aside and built again. A lock is held by the process (flock), so a
killed process leaves nothing to clean up. Where a lock fails, as between hosts, an attempt's owner file does not.
"""

from augkit.store.arrays import array_file, let_go, read_array, write_array
from augkit.store.artifacts import Address, Store
from augkit.store.digests import Digests
from augkit.store.explaining import explained, free_bytes, named_by
from augkit.store.folders import (
    check_place,
    draft_beside,
    publish_folder,
    publish_whole,
    remove_folder,
    whole_folder,
    write_unflushed,
)
from augkit.store.owners import PRIVATE
from augkit.store.private import make_private_folder, private_folder
from augkit.store.seals import MANIFEST, SCHEMA, FileFacts, added_files, check_seal, find_damage, manifest_of, seal
from augkit.store.tar import tar_unflushed
from augkit.store.verified import Verified
from augkit.store.writing import (
    append_line,
    claim_json,
    need_memory,
    read_json,
    temporary_folder,
    write_bytes,
    write_json,
    write_pieces,
    write_text,
)

__all__ = [
    "MANIFEST",
    "PRIVATE",
    "SCHEMA",
    "Address",
    "Digests",
    "FileFacts",
    "Store",
    "Verified",
    "added_files",
    "append_line",
    "array_file",
    "check_place",
    "check_seal",
    "claim_json",
    "draft_beside",
    "explained",
    "find_damage",
    "free_bytes",
    "let_go",
    "make_private_folder",
    "manifest_of",
    "named_by",
    "need_memory",
    "private_folder",
    "publish_folder",
    "publish_whole",
    "read_array",
    "read_json",
    "remove_folder",
    "seal",
    "tar_unflushed",
    "temporary_folder",
    "whole_folder",
    "write_array",
    "write_bytes",
    "write_json",
    "write_pieces",
    "write_text",
    "write_unflushed",
]
