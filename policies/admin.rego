# METADATA
# title: Who may run the hub
# description: |
#   The actions of running the hub, by who may take them. An action that is in no list is refused
#   to everyone. No action here shows a personal row: there is none that does.
package hub.admin

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {}} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: What the operator alone does
takers := ["operator"] if input.action in [
	"backup_make", "hub_check", "keys_rotate", "partner_add", "quarantine_drop",
	"quarantine_replay", "retention_run", "share_add", "user_add",
]

# METADATA
# title: What the data-protection officer does too
takers := ["dpo", "operator"] if input.action in [
	"backup_list", "consent_show", "keys_show", "push_list", "quarantine_list",
	"retention_show", "user_list",
]

# METADATA
# title: What an auditor does too
takers := ["auditor", "dpo", "operator"] if input.action in ["audit_reconcile", "policy_replay"]

# METADATA
# title: What everyone who watches over the hub does
takers := ["auditor", "dpo", "operator", "steward"] if input.action in ["partner_list", "share_list"]

# METADATA
# title: What a steward does beside the operator
takers := ["operator", "steward"] if input.action == "release_build"

takers := ["dpo", "operator", "steward"] if input.action == "share_revoke"

# METADATA
# title: What a steward alone does
takers := ["steward"] if input.action == "release_retract"

# METADATA
# title: The action is in one of these lists
refused contains "action_unknown" if not action_listed

action_listed if takers

# METADATA
# title: The actor's role may take it
refused contains "role_may_not" if {
	action_listed
	not role_may
}

role_may if input.actor.role in takers
