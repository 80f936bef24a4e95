# METADATA
# title: Who may exercise the rights of a person, and who answers
# description: |
#   A person who showed their code and their secret reads their own rows and claims a right, and
#   nobody else reads rows, whatever their role. A claim that a code cannot settle is kept in the
#   register, which the data-protection officer (or the operator, for them) lists and answers. The
#   sealed proof of a consent that ended is handed to the data-protection officer alone. A partner gives new codes for consents it collected, and ties its own reference to a code.
package hub.rights

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {"record": true}} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: The actions, and who may take each
actions := {
	"case_list": ["auditor", "dpo", "operator"],
	"case_move": ["dpo", "operator"],
	"case_open": ["dpo", "operator", "person"],
	"codes_give": ["operator", "partner"],
	"proof_open": ["dpo"],
	"reference_link": ["partner"],
	"rows_show": ["person"],
}

# METADATA
# title: The action is in the table
refused contains "action_unknown" if not action_listed

action_listed if actions[input.action]

# METADATA
# title: The actor's role may take it
refused contains "role_may_not" if {
	action_listed
	not role_may
}

role_may if input.actor.role in actions[input.action]

# METADATA
# title: A partner acts for itself
refused contains "not_own_organisation" if {
	input.actor.role == "partner"
	not for_itself
}

for_itself if lib.partner_itself(input.actor, input.partner)

# METADATA
# title: A partner's access token was issued for consents
refused contains "scope_missing" if {
	input.actor.role == "partner"
	not token_for_consents
}

token_for_consents if "consent" in input.actor.scopes
