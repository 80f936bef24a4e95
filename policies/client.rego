# METADATA
# title: Who looks after the machines of a partner
# description: |
#   A partner's own people, signed in, see the clients of their organisation, give them another
#   secret or key, and end them. The hub's operator does so for everyone. A client never does it for
#   itself: a token of a few minutes that was stolen must not become a secret that stays.
package hub.client

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {}} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: The action is one of these
refused contains "action_unknown" if not action_listed

action_listed if input.action in ["list", "rotate", "revoke"]

# METADATA
# title: The client's organisation is named
refused contains "organisation_missing" if not organisation_named

organisation_named if lib.named(input.organisation)

# METADATA
# title: The partner whose client it is, or the operator
refused contains "not_own_client" if not entitled

entitled if lib.operator(input.actor)

entitled if lib.partner_itself(input.actor, input.organisation)

# METADATA
# title: A person, not a machine
# description: The hub says how the actor showed who it is; without that it is taken for a machine.
refused contains "person_needed" if not person_asks

person_asks if input.person == true
