"""What crosses between the parties of an intersection.

Every variable is a stream (see ``stream``): a head, then chunks.

rsa
    ``rsa_pubkey``                    host -> guest: {n, e}, and {version} of its cached tokens
    ``cache_version_info``            guest -> host: {version} it has; only when told a version
    ``intersect_host_ids_process``    host -> guest: SHA-256 of the host's own signatures, sorted;
                                      not where the guest has them
    ``intersect_guest_ids``           guest -> host: blinded ids
    ``intersect_guest_ids_process``   host -> guest: the same, signed
    ``intersect_ids``                 guest -> host: tokens of the common ids
ecdh
    ``guest_blinded_ids``             guest -> host: points, sorted
    ``host_blinded_ids``              host -> guest: points, sorted
    ``guest_ids_double_blinded``      host -> guest: the guest's points, in the order received
    ``intersect_ids``                 guest -> host: positions among the host's points
raw
    ``send_ids_guest``, ``send_ids_host``             the side that does not join -> the other
    ``intersect_ids_guest``, ``intersect_ids_host``   the joining side -> the other
    ``sync_intersect_ids_multi_hosts``                guest -> hosts, when several hosts joined
repeated ids, after any of the above
    ``id_counts_from_guest``          guest -> hosts: rows of each common id
    ``id_map_from_guest``             guest -> hosts: keys of those rows
"""

from __future__ import annotations

RSA_PUBLIC_KEY = "rsa_pubkey"
RSA_CACHED_VERSION = "cache_version_info"
RSA_HOST_TOKENS = "intersect_host_ids_process"
RSA_BLINDED = "intersect_guest_ids"
RSA_SIGNED = "intersect_guest_ids_process"

ECDH_GUEST_POINTS = "guest_blinded_ids"
ECDH_HOST_POINTS = "host_blinded_ids"
ECDH_GUEST_DOUBLED = "guest_ids_double_blinded"

RESULT = "intersect_ids"

RAW_GUEST_IDS = "send_ids_guest"
RAW_HOST_IDS = "send_ids_host"
RAW_GUEST_RESULT = "intersect_ids_guest"
RAW_HOST_RESULT = "intersect_ids_host"
RAW_FINAL_RESULT = "sync_intersect_ids_multi_hosts"

ID_COUNTS = "id_counts_from_guest"
ID_MAP = "id_map_from_guest"
