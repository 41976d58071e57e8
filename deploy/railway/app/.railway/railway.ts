// What railway.json says, in the form that Railway still reads after 2026-12-01. Its own migration,
// `railway config migrate`, leaves the line `preDeploy` out, and with it the gate.
import { defineRailway, postgres, preserve, project, service } from "railway/iac";

export default defineRailway(() => {
  const database = postgres("Postgres");
  const app = service("app", {
    build: { builder: "DOCKERFILE", dockerfilePath: "Dockerfile" },
    preDeploy: "/opt/predeploy/bin/predeploy run",
    healthcheck: "/health",
    deploy: { preDeployTimeoutSeconds: 900, restartPolicyType: "ON_FAILURE", drainingSeconds: 10 },
    env: {
      DATABASE_URL: database.env.DATABASE_URL,
      // With Railway's PgBouncer switched on, DATABASE_URL leads through it, and this one does not:
      // DATABASE_UNPOOLED_URL: database.env.DATABASE_UNPOOLED_URL,
      ADMIN_USERNAME: preserve(),
      ADMIN_EMAIL: preserve(),
      ADMIN_PASSWORD_HASH: preserve(),
    },
  });
  return project("thekeyn", { resources: [database, app] });
});
