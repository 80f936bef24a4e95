# METADATA
# title: Who may ask for data, decide about it, and be given it
# description: |
#   A public body, a school or the hub's operator asks for a measure, for a purpose of its role.
#   Where the release is open there is nothing to decide: the policy approves. Otherwise a steward
#   or the operator decides, and never about what their own organisation asks for or would be
#   given. The partner whose data the measure is made of may veto, before the decision and after.
#   The data-protection officer gives an opinion. Times are seconds since 1970, UTC.
package hub.request

import data.hub.lib

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": obligations} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: Who asks for data, and for which purposes
asking_purposes := {
	"collectivity": ["climate-plan", "evaluation", "mobility-planning", "school-transport"],
	"operator": ["evaluation", "mobility-planning"],
	"school": ["evaluation", "mobility-planning", "school-transport"],
}

# METADATA
# title: Who watches over the hub, and so reads every request and every statement of use
watches := ["auditor", "dpo", "operator", "steward"]

# METADATA
# title: Who decides where the policy does not
decides := ["operator", "steward"]

# METADATA
# title: The levels of detail of a published table, and "all" of them
granularities := ["all", "department", "lycee", "lycees", "region", "zone"]

# METADATA
# title: The longest a request holds, in days
longest_days := 366

# METADATA
# title: The fewest people behind any figure that is delivered
fewest_people := 11

# METADATA
# title: The action is one of these
refused contains "action_unknown" if not action_listed

action_listed if input.action in [
	"submit", "approve", "refuse", "veto", "opinion", "withdraw", "revoke",
	"read", "deliver", "usage",
]

# METADATA
# title: The asking organisation is named
refused contains "asker_missing" if not asker_named

asker_named if lib.named(input.request.organisation)

# METADATA
# title: Each does what is theirs
refused contains "role_may_not" if {
	action_listed
	asker_named
	not may
}

own if {
	lib.named(input.actor.organisation)
	input.actor.organisation == input.request.organisation
}

asks if asking_purposes[input.actor.role]

receives if {
	lib.named(input.actor.organisation)
	input.actor.organisation in input.request.recipients
}

supplies if {
	input.actor.role == "partner"
	lib.named(input.actor.organisation)
	input.actor.organisation in input.request.partners
}

may if {
	input.action in ["submit", "withdraw", "read", "usage"]
	own
	asks
}

may if {
	input.action == "usage"
	own
	input.actor.role == "partner"
}

may if {
	input.action in ["approve", "refuse", "revoke"]
	input.actor.role in decides
}

may if {
	input.action in ["veto", "read"]
	supplies
}

may if {
	input.action == "opinion"
	input.actor.role == "dpo"
}

may if {
	input.action in ["read", "deliver"]
	receives
	asks
}

may if {
	input.action in ["read", "usage"]
	input.actor.role in watches
}

# METADATA
# title: Nobody decides on their own request
# description: |
#   Nor through another account of the same organisation, nor on data it would be given.
refused contains "own_request" if {
	input.action in ["approve", "refuse"]
	not disinterested
}

disinterested if {
	lib.named(input.actor.organisation)
	input.actor.organisation != input.request.organisation
	recipients_named
	not receiving
}

receiving if input.actor.organisation in input.request.recipients

# METADATA
# title: The purpose is one the asking role may have
refused contains "purpose_unknown" if {
	granting
	not purpose_listed
}

granting if input.action in ["submit", "approve"]

purpose_listed if input.request.purpose in asking_purposes[input.request.role]

# METADATA
# title: The recipients are named
refused contains "recipients_missing" if {
	granting
	not recipients_named
}

recipients_named if {
	some recipient in input.request.recipients
	lib.named(recipient)
}

# METADATA
# title: The territory is named
refused contains "territory_missing" if {
	granting
	not territory_named
}

territory_named if lib.named(input.request.territory)

# METADATA
# title: The level of detail is one the publication plan has
refused contains "granularity_unknown" if {
	granting
	not granularity_listed
}

granularity_listed if input.request.granularity in granularities

# METADATA
# title: A request holds for a stated time
refused contains "duration_out_of_bounds" if {
	granting
	not duration_bounded
}

duration_bounded if lib.within(input.request.days, 1, longest_days)

# METADATA
# title: The terms of the release are known
refused contains "release_unnamed" if {
	handing_out
	not terms_known
}

handing_out if input.action in ["submit", "approve", "deliver"]

terms_known if input.release.open in [true, false]

# METADATA
# title: The protection asked for is one there is
# description: |
#   By the agreements of the data as they stand, by the publication plan and by what was agreed
#   before; the strictest holds. The hub hands out no table that is protected less.
refused contains "protection_unknown" if {
	handing_out
	not protection_known
}

protection_known if protection

protection := lib.strictest(input.release.protections_asked)

# METADATA
# title: Nothing is handed out under embargo
refused contains "embargo" if {
	input.action == "deliver"
	not embargo_over
}

embargo_over if input.release.embargo_until == null

embargo_over if lib.at_least(input.now, input.release.embargo_until)

# METADATA
# title: What the recipients take on, and what the hub hands out at most
obligations := terms if handing_out

obligations := {} if not_handing_out

not_handing_out if not handing_out

terms[name] := true if some name in ["attribution", "no_reidentification", "record_read"]

terms[name] := true if {
	input.release.open == false
	some name in ["business_secret", "no_onward_sharing"]
}

terms["k_min"] := fewest_people

terms["protection"] := protection

terms["territory"] := input.request.territory if granting

terms["granularity"] := input.request.granularity if granting

terms["days"] := input.request.days if granting

# METADATA
# title: Open releases leave nothing to decide
terms["automatic"] if {
	input.action == "submit"
	input.release.open == true
}
