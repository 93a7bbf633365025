"""Cryptographic building blocks; functions of values, no federation, no files.

* ``cipher_column``: vectors of Paillier ciphertexts and what can be computed with them;
  ``paillier`` the keys, ``masks`` randomness made ahead, ``bucket_products`` the products of
  many ciphertexts, ``packing`` several numbers per ciphertext, ``cipher_batch`` the Arrow form.
* ``ecdh`` and ``rsa_blind``: private set intersection.
* ``fixed_point``: real numbers as integers, with their error bounds.
"""
