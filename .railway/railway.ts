// This repository as a service of its own: what ../railway.json says, in the form that Railway
// still reads after 2026-12-01. It gates no other service: see docs/railway.md.
import { defineRailway, postgres, preserve, project, service } from "railway/iac";

export default defineRailway(() => {
  const database = postgres("Postgres");
  const predeploy = service("predeploy", {
    build: { builder: "DOCKERFILE", dockerfilePath: "Dockerfile" },
    preDeploy: "PREDEPLOY_SQL_DIR=/app/sql predeploy run",
    start: "env PREDEPLOY_SQL_DIR=/app/sql predeploy verify",
    deploy: { restartPolicyType: "NEVER" },
    env: {
      DATABASE_URL: database.env.DATABASE_URL,
      ADMIN_USERNAME: preserve(),
      ADMIN_EMAIL: preserve(),
      ADMIN_PASSWORD_HASH: preserve(),
    },
  });
  return project("predeploy", { resources: [database, predeploy] });
});
