# METADATA
# title: Who may read a release
# description: |
#   Releases are open: anyone reads them, for any purpose, without saying who they are, and is
#   asked to name the source and not to try to recognise anyone. A release is restricted only by a
#   cited exception, such as an operator's business secrecy; then it is asked for, and given under
#   an approved request (`request.rego`). Without one, and before an embargo ends, only those who
#   watch over the hub read it. Times are seconds since 1970, UTC.
package hub.release_read

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": obligations} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: For what each role may read a restricted release without a request
restricted_purposes := {
	"auditor": ["oversight"],
	"dpo": ["oversight"],
	"operator": ["oversight"],
	"steward": ["oversight"],
}

# METADATA
# title: Who watches over the hub, and so reads under embargo
watches := ["auditor", "dpo", "operator", "steward"]

# METADATA
# title: The release is named
refused contains "release_unnamed" if not release_named

release_named if lib.named(input.release.measure)

# METADATA
# title: A restricted release is read by an entitled role, for a purpose of that role
refused contains "restricted" if not entitled

entitled if input.release.open == true

entitled if {
	input.release.open == false
	input.purpose in restricted_purposes[input.actor.role]
}

# METADATA
# title: The embargo, if there is one, is over
refused contains "embargo" if not embargo_over

embargo_over if input.release.embargo_until == null

embargo_over if lib.at_least(input.now, input.release.embargo_until)

embargo_over if {
	is_number(input.release.embargo_until)
	input.actor.role in watches
}

# METADATA
# title: The table is protected at least as it was asked for when it was published
refused contains "protection_too_weak" if not protected_enough

protected_enough if lib.protects(input.release.protection, input.release.protection_asked)

# METADATA
# title: What every reader takes on
obligations["attribution"] := true

obligations["no_reidentification"] := true

obligations["protection"] := input.release.protection_asked

# METADATA
# title: A reader who is known is recorded; an anonymous one leaves no trace
obligations["record_read"] if lib.named(input.actor.id)

# METADATA
# title: A restricted release stays with its reader
obligations["business_secret"] if input.release.open == false

obligations["no_onward_sharing"] if input.release.open == false
