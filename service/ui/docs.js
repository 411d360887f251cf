// Starts Swagger UI on this service's own description; a script of its own, since the page allows none inline.

window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // It would otherwise send the description to a validator of its maker's.
  validatorUrl: null,
});
