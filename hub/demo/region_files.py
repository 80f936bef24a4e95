"""The Région's files: directory of lycées, enrolments, car-pool places."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hub.demo import geo
from hub.demo.csvs import write_rows
from hub.demo.dice import Dice
from hub.demo.facts import Facts

ANNUAIRE: Final = (
    "Identifiant_de_l_etablissement", "Nom_etablissement", "Type_etablissement",
    "Statut_public_prive", "Adresse_1", "Adresse_2", "Adresse_3", "Code_postal", "Code_commune",
    "Nom_commune", "Code_departement", "Code_academie", "Code_region", "Ecole_maternelle",
    "Ecole_elementaire", "Voie_generale", "Voie_technologique", "Voie_professionnelle",
    "Telephone", "Fax", "Web", "Mail", "Restauration", "Hebergement", "ULIS", "Apprentissage",
    "Segpa", "Section_arts", "Section_cinema", "Section_theatre", "Section_sport",
    "Section_internationale", "Section_europeenne", "Lycee_Agricole", "Lycee_militaire",
    "Lycee_des_metiers", "Post_BAC", "Appartenance_Education_Prioritaire", "GRETA",
    "SIREN_SIRET", "Fiche_onisep", "position", "Type_contrat_prive", "Libelle_departement",
    "Libelle_academie", "Libelle_region", "coordX_origine", "coordY_origine", "epsg_origine",
    "nom_circonscription", "latitude", "longitude", "precision_localisation", "date_ouverture",
    "date_maj_ligne", "etat", "ministere_tutelle", "multi_uai", "rpi_concentre", "rpi_disperse",
    "code_nature", "libelle_nature", "Code_type_contrat_prive", "PIAL", "etablissement_mere",
    "type_rattachement_etablissement_mere", "code_circonscription",
    "code_zone_animation_pedagogique", "libelle_zone_animation_pedagogique",
    "code_bassin_formation", "libelle_bassin_formation",
)  # fmt: skip
"""Header of the national directory as exported in 2026."""

NATURES: Final = {
    "LEGT": ("300", "LYCEE ENSEIGNT GENERAL ET TECHNOLOGIQUE"),
    "LPO": ("306", "LYCEE POLYVALENT"),
    "LP": ("320", "LYCEE PROFESSIONNEL"),
}
BNLC: Final = (
    "id_lieu", "id_local", "nom_lieu", "ad_lieu", "com_lieu", "insee", "type", "date_maj",
    "ouvert", "source", "Xlong", "Ylat", "nbre_pl", "nbre_pmr", "duree", "horaires", "proprio",
    "lumiere", "comm",
)  # fmt: skip


def lycees(facts: Facts, path: Path) -> None:
    """The directory of lycées; what the demo does not know stays empty, as in the source."""
    names = facts.territory.departments
    rows = []
    for lycee in facts.lycees:
        code, nature = NATURES[lycee.kind]
        department = lycee.commune[:2]
        known = {
            "Identifiant_de_l_etablissement": lycee.uai,
            "Nom_etablissement": lycee.name,
            "Type_etablissement": "Lycée",
            "Statut_public_prive": "Public",
            "Code_commune": lycee.commune,
            "Nom_commune": facts.commune_of(lycee).name,
            "Code_departement": f"0{department}",
            "Code_academie": "18",
            "Code_region": "24",
            "position": f"{lycee.lat}, {lycee.lon}",
            "Libelle_departement": names[department],
            "Libelle_academie": "Orléans-Tours",
            "Libelle_region": "Centre-Val de Loire",
            "latitude": str(lycee.lat),
            "longitude": str(lycee.lon),
            "etat": "OUVERT",
            "ministere_tutelle": "MINISTERE DE L'EDUCATION NATIONALE",
            "code_nature": code,
            "libelle_nature": nature,
        }
        rows.append([known.get(column, "") for column in ANNUAIRE])
    write_rows(path, ANNUAIRE, rows, ";", encoding="utf-8-sig")


def enrolments(facts: Facts, enrolled: NDArray[np.int64], path: Path) -> None:
    """Pupils by lycée and commune of residence, the hub's own published layout."""
    header = (
        "annee_scolaire", "uai", "code_commune", "nom_commune", "longitude", "latitude", "effectif",
    )  # fmt: skip
    rows = [
        [
            facts.territory.school_year,
            facts.lycees[row].uai,
            facts.communes[column].code,
            facts.communes[column].name,
            facts.communes[column].lon,
            facts.communes[column].lat,
            enrolled[row, column],
        ]
        for row, column in np.argwhere(enrolled > 0).tolist()
    ]
    write_rows(path, header, rows, ";")


def carpool_places(facts: Facts, seed: int, path: Path) -> None:
    """Invented car-pool places at the edge of small towns, in the BNLC layout."""
    dice = Dice(seed, 6)
    rows = []
    for number, commune in enumerate(c for c in facts.communes if 1_500 < c.population < 8_000):
        if not dice.chance(0.45):
            continue
        lon, lat = geo.shift(commune.lon, commune.lat, dice.between(500, 1_600), dice.bearing())
        kind = dice.weighted(
            {"Aire de covoiturage": 5, "Parking": 3, "Supermarché": 1, "Sortie d'autoroute": 1}
        )
        known = {
            "id_lieu": f"{commune.code}-C-9{number:02d}",
            "id_local": f"SYN-{number:03d}",
            "nom_lieu": f"Aire synthétique de {commune.name}",
            "com_lieu": commune.name,
            "insee": commune.code,
            "type": kind,
            "date_maj": f"2026-01-{dice.whole(1, 28):02d}",
            "ouvert": "true" if dice.chance(0.95) else "false",
            "source": "000000000",
            "Xlong": f"{lon:.6f}",
            "Ylat": f"{lat:.6f}",
            "nbre_pl": str(dice.whole(6, 60)),
            "nbre_pmr": str(dice.whole(0, 3)),
            "lumiere": "true" if dice.chance(0.5) else "false",
            "comm": "Donnée synthétique de démonstration",
        }
        rows.append([known.get(column, "") for column in BNLC])
    write_rows(path, BNLC, rows, ",")
