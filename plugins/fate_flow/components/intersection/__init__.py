"""Intersection: keep the rows whose ids all parties have.

Three methods: ``rsa`` (blind signatures), ``ecdh`` (double blinding on X25519) and
``raw`` (ids or hashes of them in the open). Each method's file has the guest's and
the host's part side by side.
"""
