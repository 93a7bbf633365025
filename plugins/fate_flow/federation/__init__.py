"""Messages between parties: the gateway process, its client, the codec of values.

Everything that one party tells another passes a gateway, also where one site hosts all
parties. Reading order: ``tokens`` (who may speak for whom), ``attempts`` (when parties
compute together and when they start over), ``coordinator`` (all of them), ``mailbox`` and
``store`` (values on their way), ``routing`` (where a party is), ``service`` and
``site_service`` (the RPCs), ``client`` (a task's side), ``admin`` (the site's side).
"""
