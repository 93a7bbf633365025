"""What crosses between guest and hosts of a binning.

``paillier_pubkey``     guest -> hosts: {local_only} or {local_only, key, rows, ids}: the public
                        key, the count of rows and a digest of the ids in row order
``encrypted_label``     guest -> hosts, per chunk of rows: E(1) for an event, else E(0)
``encrypted_bin_sum``   host -> guest: {local_only} or {columns, bins, counts, …}, then per chunk
                        the encrypted counts of events, many per ciphertext
``bucket_idx``          guest -> host of method optimal: column -> limits that stay

FATE sends E(y) and E(1 - y) and gets both sums back. A row is an event or it is none, so
the second sum is the bin's count of rows less the first: the guest, who decrypts both
sums, knows the count either way. Here the host sends the counts in clear and half of the
ciphertexts are saved; the guest learns what it learns in FATE (rows and events per
anonymous bin, never a value or a limit), the host learns nothing.
"""

from __future__ import annotations

PUBLIC_KEY = "paillier_pubkey"
LABELS = "encrypted_label"
BIN_SUMS = "encrypted_bin_sum"
KEPT_LIMITS = "bucket_idx"

#: Ciphertexts per message: 2 MiB at 2048 bits.
CHUNK = 4096
